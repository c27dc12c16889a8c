// The functions `order` and `echo` on net/http and encoding/json, as the standard library offers them; `/api/echo` in plain HTTP.
package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
)

// Only the members that are used are decoded.
type invocation struct {
	Data struct {
		Req struct {
			Body string
		} `json:"req"`
	}
}

type httpOutput struct {
	StatusCode int    `json:"statusCode"`
	Body       string `json:"body"`
}

type answer struct {
	Outputs     map[string]any
	Logs        []string
	ReturnValue any
}

func handler(function func(body string) answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var called invocation
		if err := json.NewDecoder(r.Body).Decode(&called); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(function(called.Data.Req.Body)); err != nil {
			log.Print(err)
		}
	}
}

func order(body string) answer {
	return answer{
		Outputs: map[string]any{"res": httpOutput{200, "Order complete"}, "message": body},
		Logs:    []string{"order processed"},
	}
}

func echo(body string) answer {
	return answer{
		Outputs: map[string]any{"res": httpOutput{200, strconv.Itoa(len(body))}},
		Logs:    []string{},
	}
}

func plainEcho(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, strconv.Itoa(len(body)))
}

func main() {
	http.HandleFunc("/order", handler(order))
	http.HandleFunc("/echo", handler(echo))
	http.HandleFunc("/api/echo", plainEcho)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"), nil))
}
