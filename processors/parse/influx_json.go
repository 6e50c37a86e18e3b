package parse

import (
	"errors"
	"math"
	"strconv"

	"github.com/tocsin-project/tocsin/pipeline"
)

// isTelegrafJSON reports whether it is a point as Telegraf's serializer of JSON writes it, or a batch of them.
// https://github.com/influxdata/telegraf/tree/master/plugins/serializers/json
func isTelegrafJSON(s *Shape) bool {
	if s.Array {
		return false
	}
	if s.Has("metrics") {
		s = shapeOf(firstMember(s.Raw("metrics")))
	}
	return s.Has("name", "fields", "tags", "timestamp")
}

// parseTelegrafJSON reads such a point or batch.
func parseTelegrafJSON(in *Input, out *Out, p *influxPoint) error {
	point := func(b []byte) error {
		if err := p.readJSON(b); err != nil {
			return err
		}
		p.events(out, alias(b))
		return nil
	}
	var points []byte
	err := eachPair(in.Data, func(key string, value []byte) error { // to the end: a line may be torn behind them
		if key == "metrics" && value[0] == '[' {
			points = value
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case points != nil:
		return eachElement(in, out, points, point)
	}
	return point(in.Data)
}

// readJSON reads a point. Fields that are neither number, text nor boolean say nothing.
func (p *influxPoint) readJSON(b []byte) error {
	*p = influxPoint{tags: p.tags[:0], fields: p.fields[:0]}
	err := eachPair(b, func(key string, value []byte) error {
		switch key {
		case "name":
			p.measurement = textOf(value)
		case "timestamp":
			p.stamp = textOf(value)
		case "tags":
			return eachPair(value, func(key string, value []byte) error {
				p.tags = append(p.tags, pipeline.Attr{Key: key, Value: textOf(value)})
				return nil
			})
		case "fields":
			return eachPair(value, func(key string, value []byte) error {
				f := influxField{key: key, text: textOf(value)}
				switch c := value[0]; {
				case c == '"':
					f.kind = 's'
				case c == 't', c == 'f':
					f.kind = 'b'
				case c == '-', c >= '0' && c <= '9':
					v, err := strconv.ParseFloat(f.text, 64)
					if err != nil || math.IsInf(v, 0) {
						return errors.New("influx-line: field " + key + " is beyond the range of numbers")
					}
					f.number, f.kind = v, 'n'
				default:
					return nil
				}
				p.fields = append(p.fields, f)
				return nil
			})
		}
		return nil
	})
	if err == nil && p.measurement == "" {
		err = errors.New("influx-line: point without a name")
	}
	return err
}
