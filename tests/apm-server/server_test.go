package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const vectors = "../../apm-agent/tests/data/vectors"

var unsampledEvent = regexp.MustCompile(`"sampled":\s*false`)

// start gives a server and the buffer that takes its documents.
func start(t *testing.T, settings settings) (*server, *httptest.Server, *bytes.Buffer) {
	t.Helper()
	documents := new(bytes.Buffer)
	server := newServer(settings, bufio.NewWriter(documents))
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	return server, listening, documents
}

func post(t *testing.T, url string, body []byte, headers ...string) (*http.Response, answer) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, url+"/intake/v2/events?verbose", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var words answer
	if err := json.NewDecoder(response.Body).Decode(&words); err != nil {
		t.Fatal(err)
	}
	return response, words
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(vectors, path))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestDecodesElasticsStreams(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(vectors, "intake-v2", "*.ndjson"))
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d streams, %v", len(paths), err)
	}
	for _, path := range paths {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			_, listening, documents := start(t, settings{version: "9.6.0"})
			stream := read(t, "intake-v2/"+name)
			response, words := post(t, listening.URL, stream)
			if wrong := strings.HasPrefix(name, "invalid-"); wrong != (response.StatusCode == http.StatusBadRequest) {
				t.Fatalf("%d %+v", response.StatusCode, words)
			}
			// Servers from 8.0 on accept unsampled transactions and keep none of them.
			unsampled := len(unsampledEvent.FindAll(stream, -1))
			if lines := bytes.Count(documents.Bytes(), []byte{'\n'}); lines < words.Accepted-unsampled {
				t.Fatalf("%d documents of %d events", lines, words.Accepted)
			}
		})
	}
}

// The approved documents name what the server stored; ids and names are enough to see that ours are the same events.
func TestStoresWhatTheServerStores(t *testing.T) {
	for stream, approved := range map[string]string{"transactions": "Transactions", "spans": "Spans", "errors": "Errors"} {
		t.Run(stream, func(t *testing.T) {
			_, listening, documents := start(t, settings{})
			post(t, listening.URL, read(t, "intake-v2/"+stream+".ndjson"))
			var expected []map[string][]any
			if err := json.Unmarshal(read(t, "intake-v2-approved/"+approved+".approved.json"), &expected); err != nil {
				t.Fatal(err)
			}
			var lines []string
			for line := range strings.Lines(documents.String()) {
				lines = append(lines, line)
			}
			if len(lines) != len(expected) || len(lines) == 0 {
				t.Fatalf("%d documents, approved are %d", len(lines), len(expected))
			}
			for _, event := range expected {
				for _, field := range []string{"transaction.id", "span.id", "error.id", "trace.id", "error.grouping_key"} {
					for _, value := range event[field] {
						if text, ok := value.(string); ok && !strings.Contains(documents.String(), `"`+text+`"`) {
							t.Errorf("%s %s is missing", field, text)
						}
					}
				}
			}
		})
	}
}

func TestCountsAcceptedAndInvalidEvents(t *testing.T) {
	server, listening, _ := start(t, settings{})
	response, words := post(t, listening.URL, read(t, "intake-v2/invalid-event.ndjson"))
	if response.StatusCode != http.StatusBadRequest || words.Accepted != 1 || len(words.Errors) != 1 {
		t.Fatalf("%d %+v", response.StatusCode, words)
	}
	if words.Errors[0].Document == "" {
		t.Fatal("the offending line is missing")
	}
	if seen := server.counts(); seen.Accepted != 1 || seen.Invalid != 1 || seen.Requests != 1 {
		t.Fatalf("%+v", seen)
	}
}

func TestUnpacksGzip(t *testing.T) {
	_, listening, _ := start(t, settings{})
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if _, err := writer.Write(read(t, "intake-v2/transactions.ndjson")); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if response, words := post(t, listening.URL, packed.Bytes(), "Content-Encoding", "gzip"); response.StatusCode != http.StatusAccepted {
		t.Fatalf("%d %+v", response.StatusCode, words)
	}
}

func TestRefusesWhatTheServerRefuses(t *testing.T) {
	stream := read(t, "intake-v2/minimal.ndjson")
	_, listening, documents := start(t, settings{secretToken: "t"})
	if response, _ := post(t, listening.URL, stream); response.StatusCode != http.StatusUnauthorized {
		t.Fatal(response.Status)
	}
	if response, _ := post(t, listening.URL, stream, "Authorization", "Bearer t"); response.StatusCode != http.StatusAccepted {
		t.Fatal(response.Status)
	}
	documents.Reset()
	response, _ := post(t, listening.URL, stream, "Authorization", "Bearer t", "Content-Type", "text/plain")
	if response.StatusCode != http.StatusBadRequest || documents.Len() != 0 {
		t.Fatal(response.Status)
	}
}

func TestMisbehavesAsOftenAsTold(t *testing.T) {
	server, listening, _ := start(t, settings{status: 503, statusTimes: 1})
	stream := read(t, "intake-v2/minimal.ndjson")
	for _, expected := range []int{503, 202} {
		if response, _ := post(t, listening.URL, stream); response.StatusCode != expected {
			t.Fatalf("%s, expected %d", response.Status, expected)
		}
	}
	if seen := server.counts(); seen.Refused != 1 || seen.Requests != 2 {
		t.Fatalf("%+v", seen)
	}
}

func TestTellsItsVersion(t *testing.T) {
	_, listening, _ := start(t, settings{version: "8.7.0"})
	response, err := http.Get(listening.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var information map[string]any
	if err := json.NewDecoder(response.Body).Decode(&information); err != nil {
		t.Fatal(err)
	}
	if information["version"] != "8.7.0" || information["publish_ready"] != true {
		t.Fatal(information)
	}
}
