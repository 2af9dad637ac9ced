package trace

import (
	"log/slog"
	"time"

	"tcpmitm/splice"
)

var howNames = map[splice.How]string{
	splice.ByFIN:         "FIN",
	splice.ByReset:       "RST",
	splice.ByTimeout:     "timeout",
	splice.ByRule:        "rule",
	splice.ByRefusal:     "refused",
	splice.ByUnreachable: "unreachable",
	splice.ByShutdown:    "shutdown",
}

// how names the way in which a connection's closing began.
func how(h splice.How) string {
	if s, ok := howNames[h]; ok {
		return s
	}
	return "unknown"
}

// endAttrs are what the log says of a connection that is over.
func endAttrs(s *splice.Summary) []slog.Attr {
	return []slog.Attr{
		slog.Uint64("conn", s.Conn),
		slog.String("client", s.Client.String()),
		slog.String("server", s.Server.String()),
		slog.String("rule", s.Rule),
		slog.Uint64("bytes_to_server", s.ToServer),
		slog.Uint64("bytes_to_client", s.ToClient),
		slog.Float64("seconds", s.Duration.Round(time.Microsecond).Seconds()),
		slog.String("closed_by", s.FirstClose),
		slog.String("how", how(s.How)),
		slog.String("client_leg", s.ClientState.SS()),
		slog.String("server_leg", s.ServerState.SS()),
	}
}
