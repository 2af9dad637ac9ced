package trace

import (
	"fmt"
	"log/slog"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
)

// endAttrs are what the log says of a connection that is over: a line that
// people can still read or, in full, all that there is to say.
func endAttrs(s *splice.Summary, full bool) []slog.Attr {
	client, server := &s.Legs[endpoint.Client], &s.Legs[endpoint.Server]
	attrs := []slog.Attr{
		slog.Uint64("conn", s.Conn),
		slog.String("client", s.Client.String()),
		slog.String("server", s.Server.String()),
		slog.String("rule", s.Rule),
		slog.Uint64("bytes_to_server", s.ToServer),
		slog.Uint64("bytes_to_client", s.ToClient),
		slog.Float64("seconds", s.Duration.Round(time.Microsecond).Seconds()),
		slog.String("closed_by", s.FirstClose),
		slog.String("how", how(s.How)),
	}
	if full {
		return append(attrs,
			slog.Any("fired", verdictOf(s).Fired),
			slog.Any("client_leg", NewLegVerdict(client)),
			slog.Any("server_leg", NewLegVerdict(server)))
	}
	return append(attrs,
		slog.String("codes", client.Code.String()+" "+server.Code.String()),
		slog.String("client_leg", s.ClientState.SS()),
		slog.String("server_leg", s.ServerState.SS()),
		slog.String("rtt", shortTime(client.SRTT)+"/"+shortTime(server.SRTT)),
		slog.Uint64("fired", fired(s)),
		slog.String("resent", fmt.Sprintf("%d/%d", client.Retransmits, server.Retransmits)))
}

// shortTime writes a time that may not have been measured.
func shortTime(d time.Duration) string {
	if d <= 0 {
		return "-"
	}
	return pretty(*millis(d))
}
