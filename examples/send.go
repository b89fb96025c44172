// Send a message through Plivo, which reports to smsstatus: go run send.go FROM TO TEXT
// With Plivo's library: client.Messages.Create(plivo.MessageCreateParams{Src: ..., Dst: ..., Text: ..., URL: url})
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	account, token := os.Getenv("PLIVO_AUTH_ID"), os.Getenv("PLIVO_AUTH_TOKEN")
	api := os.Getenv("PLIVO_API_URL")
	if api == "" {
		api = "https://api.plivo.com"
	}
	url := os.Getenv("BASE_URL") + "/plivo/status?order=42" // your own reference

	message, _ := json.Marshal(map[string]string{"src": os.Args[1], "dst": os.Args[2], "text": os.Args[3], "url": url})
	request, err := http.NewRequest("POST", api+"/v1/Account/"+account+"/Message/", bytes.NewReader(message))
	if err != nil {
		log.Fatal(err)
	}
	request.SetBasicAuth(account, token)
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: 20 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	var sent struct {
		MessageUUID []string `json:"message_uuid"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&sent); err != nil || len(sent.MessageUUID) == 0 {
		log.Fatalf("Plivo answered %s", answer.Status)
	}
	fmt.Println(sent.MessageUUID[0])
}
