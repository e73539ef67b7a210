package egress

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseRulesRefuses(t *testing.T) {
	for _, text := range []string{
		"", ":443", "https://example.com", "example.com/path", "example.com:", "example.com:0", "example.com:65536", "example.com:+80",
		"example.com:http", "*", "*.com", "*.10.0.0.1", "a.*.example.com", "exa mple.com", "example..com", "-a.example.com",
		"127.1", "0x7f000001", "2130706433", "1.2.3.4.5", "fe80::1%eth0", "[::1", "[::1]x", "10.0.0.0/33", "::ffff:10.0.0.0/104",
		strings.Repeat("a", 64) + ".com", strings.Repeat("a.", 130) + "com", "xn--a", "\x1b[31m.com", "user@example.com",
	} {
		if r, err := ParseRules([]string{text}); err == nil {
			t.Errorf("%q was taken as %+v", text, r)
		}
	}
}

func TestAllows(t *testing.T) {
	for _, tt := range []struct {
		rule, host, port string
		want             bool
	}{
		{"example.com", "example.com", "443", true},
		{"example.com", "example.com", "80", false},
		{"example.com:80", "example.com", "80", true},
		{"example.com:80", "example.com", "443", false},
		{"Example.COM", "eXample.com.", "443", true},
		{"example.com.", "example.com", "443", true},
		{"example.com", "www.example.com", "443", false},
		{"example.com", "notexample.com", "443", false},
		{"example.com", "example.com.evil.net", "443", false},
		{"*.example.com", "www.example.com", "443", true},
		{"*.example.com", "a.b.example.com", "443", true},
		{"*.example.com", "example.com", "443", false},
		{"*.example.com", "wwwexample.com", "443", false},
		{"bücher.example", "xn--bcher-kva.example", "443", true},
		{"xn--bcher-kva.example", "BÜCHER.example", "443", true},
		{"example.com", "ｅxample.com", "443", true}, // the same name to every resolver that takes it
		{"ｅxample.com", "example.com", "443", true},
		{"10.1.2.3", "10.1.2.3", "443", true},
		{"10.1.2.3", "::ffff:10.1.2.3", "443", true},
		{"10.0.0.0/8:80", "10.200.0.1", "80", true},
		{"10.0.0.0/8:80", "11.0.0.1", "80", false},
		{"[fd00::/8]:80", "fd12::1", "80", true},
		{"[fd00::/8]:80", "fd20:ce::254", "80", false},
		{"169.254.0.0/16:80", "169.254.169.254", "80", false},
		{"169.254.169.254:80", "169.254.169.254", "80", true},
		{"fd00::1", "fd00::1", "443", true},
		{"[fd00::1]:8080", "fd00:0::1", "8080", true},
		{"0.0.0.0/0", "example.com", "443", false},
	} {
		r, err := ParseRules([]string{tt.rule})
		if err != nil {
			t.Errorf("%s: %v", tt.rule, err)
			continue
		}
		target, err := parseTarget(tt.host, tt.port)
		if err != nil {
			t.Errorf("%s: %v", tt.host, err)
			continue
		}
		if got := r.allows(target); got != tt.want {
			t.Errorf("rule %s, target %s:%s: %t", tt.rule, tt.host, tt.port, got)
		}
	}
}

func TestNotPublic(t *testing.T) {
	for _, text := range []string{
		"0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255",
		"192.0.0.192", "192.0.2.1", "192.168.0.1", "198.19.0.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "168.63.129.16",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2001:0:1:2::",
		"2a00::5efe:127.0.0.1", "2a00::200:5efe:10.0.0.1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "2001:db8::1", "100::1", "4000::1",
	} {
		if reason := notPublic(netip.MustParseAddr(text)); reason == "" {
			t.Errorf("%s passes for public", text)
		}
	}
	for _, text := range []string{"1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.128.0.1", "11.0.0.1", "192.167.0.1", "2606:4700::1111", "2a00:1450:4001::200e"} {
		if reason := notPublic(netip.MustParseAddr(text)); reason != "" {
			t.Errorf("%s: %s", text, reason)
		}
	}
	for _, own := range ownAddresses() {
		if notPublic(own) == "" {
			t.Errorf("this machine's %s passes for public", own)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"example.com", "127.1", "bücher.example", "xn--", "::1", "a..b", "１２７.0.0.1", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseHost(s)
		if err != nil {
			return
		}
		// What is compared is what is resolved: reading it again changes nothing.
		text := got.name
		if got.addr.IsValid() {
			text = got.addr.String()
		}
		if again, err := parseHost(text); err != nil || again != got {
			t.Errorf("%q reads as %+v, and that as %+v (%v)", s, got, again, err)
		}
		if got.name != "" {
			if _, err := netip.ParseAddr(got.name); err == nil {
				t.Errorf("%q is a name that is an address: %s", s, got.name)
			}
		}
	})
}
