// Package corpus is what tocsin is measured with: records as a busy shop sends them, and rules as its authors write them.
// Both are the same on every machine.
package corpus

import (
	"fmt"
	"time"
)

// Record is the i-th record. The formats and their shares are those of a busy shop: mostly network and web traffic, then
// logins, the orchestrator's audit, runtime detections and what developers push. The same i gives the same record but for
// its time.
func Record(i int, t time.Time) []byte {
	r := uint32(i)*2654435761 ^ uint32(i)>>7 // spreads hosts, users and addresses over the records
	host, user, ip := r%200, r/7%1000, r/11%60000
	switch {
	case r%100 < 30:
		return fmt.Appendf(nil, `{"timestamp":"%s","flow_id":%d,"in_iface":"eth0","event_type":"flow","src_ip":"10.%d.%d.%d","src_port":%d,"dest_ip":"203.0.113.%d","dest_port":443,"proto":"TCP","app_proto":"tls","flow":{"pkts_toserver":%d,"pkts_toclient":%d,"bytes_toserver":%d,"bytes_toclient":%d,"start":"%s","end":"%s","age":3,"state":"closed","reason":"timeout","alerted":false},"community_id":"1:%08xhJ0bbC3q8M1l+2T4wq1n3=","tcp":{"tcp_flags":"1b","tcp_flags_ts":"1b","tcp_flags_tc":"1b","syn":true,"fin":true,"psh":true,"ack":true,"state":"closed","ts_max_regions":1,"tc_max_regions":1},"host":"sensor-%d"}`,
			t.Format("2006-01-02T15:04:05.000000-0700"), 1_000_000_000+i, ip>>8&255, ip&255, host, 1024+r%60000, r%250, r%90, r%70, r%90000, r%400000, t.Format("2006-01-02T15:04:05.000000-0700"), t.Format("2006-01-02T15:04:05.000000-0700"), r, host%8)
	case r%100 < 55:
		return fmt.Appendf(nil, `10.%d.%d.%d - user%d [%s] "GET /api/v1/orders/%d?page=%d HTTP/1.1" %d %d "https://shop.example.com/checkout" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"`,
			ip>>8&255, ip&255, host, user, t.Format("02/Jan/2006:15:04:05 -0700"), r%100000, r%20, []int{200, 200, 200, 304, 404, 502}[r%6], r%30000)
	case r%100 < 70:
		return fmt.Appendf(nil, `%s host-%d sshd[%d]: %s password for user%d from 198.51.%d.%d port %d ssh2`,
			t.Format(time.Stamp), host, 1000+r%30000, []string{"Failed", "Accepted"}[r%2], user, ip>>8&255, ip&255, 1024+r%60000)
	case r%100 < 85:
		return fmt.Appendf(nil, `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"%08x-1111-4222-8333-%012x","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/payments/pods/pay-api-%d","verb":"%s","user":{"username":"system:serviceaccount:payments:deployer-%d","uid":"%08x","groups":["system:serviceaccounts","system:authenticated"]},"sourceIPs":["10.0.%d.%d"],"userAgent":"kubectl/v1.33.0 (linux/amd64) kubernetes/abc1234","objectRef":{"resource":"pods","namespace":"payments","name":"pay-api-%d","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":%d},"requestReceivedTimestamp":"%s","stageTimestamp":"%s","annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"RBAC: allowed by RoleBinding"}}`,
			r, i, r%500, []string{"get", "list", "watch", "update"}[r%4], user%20, r, ip>>8&255, ip&255, r%500, []int{200, 200, 200, 403}[r%4], t.Format("2006-01-02T15:04:05.000000Z"), t.Format("2006-01-02T15:04:05.000000Z"))
	case r%100 < 95:
		return fmt.Appendf(nil, `{"hostname":"node-%d","output":"%s: Warning Sensitive file opened for reading by non-trusted program (file=/etc/shadow gparent=sshd process=cat command=cat /etc/shadow user=user%d container_id=%08x)","output_fields":{"container.id":"%08x","container.image.repository":"registry.example.com/pay/api","evt.time":%d,"fd.name":"/etc/shadow","proc.cmdline":"cat /etc/shadow","proc.name":"cat","user.name":"user%d"},"priority":"Warning","rule":"Read sensitive file untrusted","source":"syscall","tags":["container","filesystem","mitre_credential_access","T1555"],"time":"%s"}`,
			host, t.Format("15:04:05.000000000"), user, r, r, t.UnixNano(), user, t.Format("2006-01-02T15:04:05.000000000Z"))
	default:
		return fmt.Appendf(nil, `{"context":{"version":"0.4.1","id":"cd-%d","source":"/ci/shop","type":"dev.cdevents.taskrun.finished.0.2.0","timestamp":"%s"},"subject":{"id":"run-%d","source":"/ci/shop","type":"taskRun","content":{"taskName":"unit-%d","uri":"https://ci.example.com/run/%d","outcome":"%s","errors":"","pipelineRun":{"id":"pipe-%d","source":"/ci/shop"}}}}`,
			i, t.Format(time.RFC3339Nano), r%90000, r%40, r%90000, []string{"success", "success", "failure"}[r%3], r%5000)
	}
}
