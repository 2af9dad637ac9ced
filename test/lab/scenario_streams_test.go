package lab

var streamScenarios []scenario
