package lab

var closeScenarios []scenario
