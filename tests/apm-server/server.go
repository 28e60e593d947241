package main

import (
	"bufio"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/elastic/apm-data/input/elasticapm"
	"github.com/elastic/apm-data/model/modeljson"
	"github.com/elastic/apm-data/model/modelpb"
	"github.com/elastic/apm-data/model/modelprocessor"
	"go.elastic.co/fastjson"
	"golang.org/x/sync/semaphore"
)

const (
	maxEventSize = 307200
	batchSize    = 10
	maxDecoders  = 200
)

type settings struct {
	version     string
	secretToken string
	status      int
	statusTimes int64
	delay       time.Duration
}

// counts is what the server saw since it started.
type counts struct {
	Requests  int64 `json:"requests"`
	Accepted  int64 `json:"accepted"`
	Invalid   int64 `json:"invalid"`
	TooLarge  int64 `json:"too_large"`
	Refused   int64 `json:"refused"`
	Documents int64 `json:"documents"`
}

type server struct {
	http.ServeMux
	settings  settings
	processor *elasticapm.Processor
	enrich    modelpb.BatchProcessor

	// mutex guards what follows.
	mutex     sync.Mutex
	seen      counts
	documents *bufio.Writer
}

// answer is the body of an error, and of an answer to a verbose request.
type answer struct {
	Accepted int           `json:"accepted"`
	Errors   []answerError `json:"errors,omitempty"`
}

type answerError struct {
	Message  string `json:"message"`
	Document string `json:"document,omitempty"`
}

func newServer(settings settings, documents *bufio.Writer) *server {
	s := &server{settings: settings, documents: documents}
	s.processor = elasticapm.NewProcessor(elasticapm.Config{
		Semaphore:    semaphore.NewWeighted(maxDecoders),
		MaxEventSize: maxEventSize,
	})
	s.enrich = modelprocessor.Chained{
		modelprocessor.SetHostHostname{},
		modelprocessor.SetServiceNodeName{},
		modelprocessor.SetGroupingKey{NewHash: func() hash.Hash { return xxhash.New() }},
		modelprocessor.SetErrorMessage{},
		&modelprocessor.SetDefaultServiceEnvironment{DefaultServiceEnvironment: ""},
		&modelprocessor.SetDataStream{Namespace: "default"},
		modelprocessor.NewDropUnsampled(false, func(int64) {}),
		modelprocessor.RemoveEventReceived{},
		modelpb.ProcessBatchFunc(s.write),
	}
	s.HandleFunc("GET /{$}", s.information)
	s.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { respond(w, http.StatusOK, s.counts()) })
	s.HandleFunc("POST /intake/v2/events", s.intake)
	return s
}

func (s *server) counts() counts {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.seen
}

func (s *server) authorised(r *http.Request) bool {
	return s.settings.secretToken == "" || r.Header.Get("Authorization") == "Bearer "+s.settings.secretToken
}

// information answers as the real server does: without credentials an empty body.
func (s *server) information(w http.ResponseWriter, r *http.Request) {
	if !s.authorised(r) {
		w.WriteHeader(http.StatusOK)
		return
	}
	respond(w, http.StatusOK, map[string]any{
		"build_date":    "2026-08-20T00:00:00Z",
		"build_sha":     "0000000000000000000000000000000000000000",
		"publish_ready": true,
		"version":       s.settings.version,
	})
}

func (s *server) intake(w http.ResponseWriter, r *http.Request) {
	misbehave := s.misbehaves()
	if s.settings.delay > 0 {
		select {
		case <-time.After(s.settings.delay):
		case <-r.Context().Done():
			return
		}
	}
	switch {
	case misbehave:
		refuse(w, s.settings.status, "told to misbehave")
		return
	case !s.authorised(r):
		refuse(w, http.StatusUnauthorized, "authentication failed: invalid or missing secret token")
		return
	case !strings.Contains(r.Header.Get("Content-Type"), "application/x-ndjson"):
		refuse(w, http.StatusBadRequest, "invalid content type: '"+r.Header.Get("Content-Type")+"'")
		return
	}
	body, err := unpacked(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	status, result := s.decode(r.Context(), body)
	if status == http.StatusAccepted && !r.URL.Query().Has("verbose") {
		w.WriteHeader(status)
		return
	}
	respond(w, status, result)
}

// misbehaves counts a request and says whether it is to be refused unread.
func (s *server) misbehaves() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.seen.Requests++
	if s.settings.status == 0 || (s.settings.statusTimes > 0 && s.seen.Refused >= s.settings.statusTimes) {
		return false
	}
	s.seen.Refused++
	return true
}

func unpacked(r *http.Request) (io.Reader, error) {
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "gzip":
		return gzip.NewReader(r.Body)
	case "deflate":
		return zlib.NewReader(r.Body)
	case "":
		return r.Body, nil
	default:
		return nil, fmt.Errorf("unknown content encoding %q", encoding)
	}
}

// decode hands a stream to Elastic's decoder and words the result as the server does.
func (s *server) decode(ctx context.Context, body io.Reader) (int, answer) {
	base := &modelpb.APMEvent{Timestamp: modelpb.FromTime(time.Now())}
	var result elasticapm.Result
	err := s.processor.HandleStream(ctx, base, body, batchSize, s.enrich, &result)
	if err != nil {
		result.Errors = append(result.Errors, err)
	}
	s.mutex.Lock()
	s.seen.Accepted += int64(result.Accepted)
	s.seen.Invalid += int64(result.Invalid)
	s.seen.TooLarge += int64(result.TooLarge)
	flushed := s.documents.Flush()
	s.mutex.Unlock()

	words := answer{Accepted: result.Accepted}
	for _, err := range result.Errors {
		word := answerError{Message: err.Error()}
		var invalid *elasticapm.InvalidInputError
		if errors.As(err, &invalid) {
			word.Document = invalid.Document
		}
		words.Errors = append(words.Errors, word)
	}
	switch {
	case flushed != nil:
		words.Errors = append(words.Errors, answerError{Message: flushed.Error()})
		return http.StatusInternalServerError, words
	case len(words.Errors) > 0:
		return http.StatusBadRequest, words
	}
	return http.StatusAccepted, words
}

// write keeps documents as they would be indexed. The decoder uses events again afterwards.
func (s *server) write(_ context.Context, batch *modelpb.Batch) error {
	var line fastjson.Writer
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, event := range *batch {
		line.Reset()
		if err := modeljson.MarshalAPMEvent(event, &line); err != nil {
			return err
		}
		line.RawByte('\n')
		if _, err := s.documents.Write(line.Bytes()); err != nil {
			return err
		}
		s.seen.Documents++
	}
	return nil
}

func refuse(w http.ResponseWriter, status int, message string) {
	respond(w, status, answer{Errors: []answerError{{Message: message}}})
}

// respond answers with JSON. A status of 400 or more also closes the connection, as the real server does.
func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	if status >= http.StatusBadRequest {
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(status)
	// The client has gone when this fails; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(body)
}
