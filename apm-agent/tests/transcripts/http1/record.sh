#!/bin/sh
# Records this folder's transcripts again: servers are nginx, node, python and go, clients curl, node and go, all on loopback.
# Usage: sh record.sh <folder to write to>. Needs nginx, node, python3, go, curl. The servers it starts end with it.
set -eu
out=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
pids=
trap 'kill $pids 2>/dev/null; rm -rf "$work"' EXIT
record() { python3 "$here/../record.py" "$@"; }
wait_for() { curl -s -o /dev/null --retry 50 --retry-connrefused --retry-delay 1 --max-time 60 "http://127.0.0.1:$1/"; }

cat > "$work/node.js" <<'JS'
const http = require('http');
const server = http.createServer((request, response) => {
  const body = [];
  request.on('data', (part) => body.push(part));
  request.on('error', () => {});
  request.on('end', () => {
    if (request.url === '/early-hints') response.writeEarlyHints({ link: '</a.css>; rel=preload' });
    if (request.url === '/trailers') {
      response.writeHead(200, { 'content-type': 'text/plain', trailer: 'x-sum' });
      response.write('one');
      response.write('two '.repeat(200));
      response.addTrailers({ 'x-sum': '42' });
      return response.end();
    }
    if (request.url === '/empty') return response.writeHead(204).end();
    if (request.url === '/fail') return response.writeHead(500).end('no\n');
    if (request.url === '/hang') return response.writeHead(200, { 'content-length': 10 }).write('12');
    response.end(`${request.method} ${Buffer.concat(body).length}\n`);
  });
});
server.on('checkContinue', (request, response) => {
  if (request.url === '/refuse') return response.writeHead(417, { 'content-length': 0 }).end();
  response.writeContinue();
  server.emit('request', request, response);
});
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
  socket.on('data', (data) => socket.end(data));
});
server.on('connect', (request, socket) => {
  if (request.url.startsWith('refused')) return socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
  socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
  socket.on('data', (data) => socket.end(data));
});
server.listen(18101, '127.0.0.1');
JS
node "$work/node.js" & pids="$pids $!"

mkdir "$work/www"; echo hello > "$work/www/index.html"; head -c 30000 /dev/zero | tr '\0' z > "$work/www/big"
cat > "$work/nginx.conf" <<CONF
daemon off; master_process off; pid $work/nginx.pid; error_log /dev/null;
events {}
http { access_log off; server_tokens off; gzip on; gzip_min_length 1; gzip_types *;
  client_body_temp_path $work/b; proxy_temp_path $work/p; fastcgi_temp_path $work/f; uwsgi_temp_path $work/u; scgi_temp_path $work/s;
  server { listen 127.0.0.1:18102; root $work/www; location /post { return 405; } } }
CONF
nginx -p "$work" -c "$work/nginx.conf" & pids="$pids $!"

python3 -m http.server 18103 --bind 127.0.0.1 --directory "$work/www" >/dev/null 2>&1 & pids="$pids $!"

cat > "$work/main.go" <<'GO'
package main

import ("bufio"; "fmt"; "io"; "net"; "net/http"; "os"; "strings")

func serve() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/panic" { panic(http.ErrAbortHandler) }
		if r.URL.Path == "/stream" { for i := 0; i < 3; i++ { fmt.Fprintf(w, "part %d\n", i); w.(http.Flusher).Flush() }; return }
		fmt.Fprintf(w, "%s %d\n", r.Method, n)
	})
	http.ListenAndServe("127.0.0.1:18104", nil)
}

func do(method, url string, body io.Reader) {
	request, _ := http.NewRequest(method, url, body)
	request.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	request.Header.Add("Tracestate", "es=s:1"); request.Header.Add("Tracestate", "other=2")
	response, err := http.DefaultClient.Do(request)
	if err != nil { return }
	io.Copy(io.Discard, response.Body); response.Body.Close()
}

func main() {
	if len(os.Args) < 3 { serve(); return }
	base := "http://127.0.0.1:" + os.Args[2]
	switch os.Args[1] {
	case "session":
		do("GET", base+"/a?b=c", nil)
		do("POST", base+"/chunked", io.MultiReader(strings.NewReader("some "), strings.NewReader(strings.Repeat("body ", 100))))
		do("HEAD", base+"/head", nil)
		do("GET", base+"/stream", nil)
		do("DELETE", base+"/last", nil)
	case "panic":
		do("POST", base+"/panic", strings.NewReader("x"))
	case "pipeline":
		connection, _ := net.Dial("tcp", "127.0.0.1:"+os.Args[2])
		for i := 0; i < 4; i++ { fmt.Fprintf(connection, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i) }
		reader := bufio.NewReader(connection)
		for i := 0; i < 4; i++ { response, _ := http.ReadResponse(reader, nil); io.Copy(io.Discard, response.Body) }
		connection.Close()
	case "half-close":
		connection, _ := net.Dial("tcp", "127.0.0.1:"+os.Args[2])
		fmt.Fprintf(connection, "GET /big HTTP/1.0\r\n\r\n")
		connection.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, connection)
	case "bad":
		connection, _ := net.Dial("tcp", "127.0.0.1:"+os.Args[2])
		fmt.Fprintf(connection, "GET /bad HTTP/1.1\r\nHost: a\r\nno colon\x01\r\n\r\n")
		io.Copy(io.Discard, connection)
	}
}
GO
(cd "$work" && go build -o program main.go)
"$work/program" & pids="$pids $!"

cat > "$work/client.js" <<'JS'
const http = require('http');
const [port, what] = process.argv.slice(2);
const base = { host: '127.0.0.1', port };
if (what === 'upgrade') {
  http.request({ ...base, path: '/chat', headers: { connection: 'Upgrade', upgrade: 'echo' } })
    .on('upgrade', (response, socket) => { socket.write('\x81\x02hi'); socket.on('data', () => socket.end()); }).end();
} else if (what === 'abort') {
  http.get({ ...base, path: '/hang' }, (response) => response.on('data', () => response.destroy()));
} else {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (method, path, body, headers) => new Promise((resolve) => {
    const request = http.request({ ...base, agent, method, path, headers }, (response) => response.resume().on('end', resolve));
    if (body) { for (const part of body) request.write(part); }
    request.end();
  });
  (async () => {
    await ask('GET', '/early-hints');
    await ask('PUT', '/chunked', ['abc', 'def'.repeat(100)]);
    await ask('GET', '/trailers');
    await ask('GET', '/empty');
    await ask('POST', '/fail', ['1'], { 'content-length': 1 });
    agent.destroy();
  })();
}
JS

for port in 18101 18102 18103 18104; do wait_for $port; done
a='http://127.0.0.1:{port}'
record 18101 "$out/node_session.txt" -- node "$work/client.js" '{port}' session
record 18101 "$out/node_upgrade.txt" -- node "$work/client.js" '{port}' upgrade
record 18101 "$out/node_client_abort.txt" -- node "$work/client.js" '{port}' abort
record 18101 "$out/curl_expect.txt" -- curl -s -o /dev/null -H 'Expect: 100-continue' -d body=1 "$a/expected" || true
record 18101 "$out/curl_expect_refused.txt" -- curl -s -o /dev/null -H 'Expect: 100-continue' -d body=1 "$a/refuse" || true
echo hi | record 18101 "$out/curl_connect.txt" -- curl -s -o /dev/null -p -x "$a" telnet://example.invalid:80 || true
record 18101 "$out/curl_connect_refused.txt" -- curl -s -o /dev/null -p -x "$a" http://refused:80/ || true
record 18102 "$out/nginx_session.txt" -- curl -s --compressed "$a/" -o /dev/null --next -I "$a/big" -o /dev/null --next -d x=1 "$a/post" -o /dev/null --next "$a/missing" -o /dev/null || true
record 18102 "$out/nginx_big_and_not_modified.txt" -- curl -s -o /dev/null -H 'If-None-Match: *' "$a/index.html" --next -s -o /dev/null "$a/big" || true
record 18102 "$out/nginx_range.txt" -- curl -s -o /dev/null -r 0-9 "$a/big" --next -s -o /dev/null -r 99999- "$a/big" || true
record 18103 "$out/python_http10.txt" -- curl -s -o /dev/null --http1.0 "$a/" || true
record 18103 "$out/python_half_close.txt" -- "$work/program" half-close '{port}'
record 18103 "$out/python_absolute_form.txt" -- curl -s -o /dev/null -x "$a" http://example.invalid/index.html || true
record 18104 "$out/go_session.txt" -- "$work/program" session '{port}'
record 18104 "$out/go_close_delimited.txt" -- curl -s -o /dev/null --http1.0 "$a/stream" || true
record 18104 "$out/go_server_abort.txt" -- "$work/program" panic '{port}'
record 18104 "$out/go_pipelined.txt" -- "$work/program" pipeline '{port}'
sed -i '1a # the client pipelines: joined late, nothing tells which answer is whose\npipelined' "$out/go_pipelined.txt"
record 18104 "$out/go_bad_request.txt" -- "$work/program" bad '{port}'
record 18104 "$out/curl_options_asterisk.txt" -- curl -s -o /dev/null -X OPTIONS --request-target '*' "$a/" || true
