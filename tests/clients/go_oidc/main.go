// An app in Go, with go-oidc and oauth2, that keeps what it knows of the issuer.
//
// It prints where to send the browser and reads where the browser came back to.  Then
// it refreshes for every line it reads, and each time verifies all ID tokens it has
// got, with the keys it has kept.  Its argument and what it prints are JSON.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"net/url"
	"os"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

type settings struct {
	Issuer       string `json:"issuer"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RedirectURI  string `json:"redirect_uri"`
	Scopes       string `json:"scopes"`
}

type app struct {
	context  context.Context
	provider *oidc.Provider
	verifier *oidc.IDTokenVerifier
	oauth    oauth2.Config
	idTokens []string
}

func main() {
	log.SetFlags(0)
	var told settings
	check(json.Unmarshal([]byte(os.Args[1]), &told))
	ctx := context.Background()
	provider, err := oidc.NewProvider(ctx, told.Issuer)
	check(err)
	a := &app{
		context:  ctx,
		provider: provider,
		verifier: provider.Verifier(&oidc.Config{ClientID: told.ClientID}),
		oauth: oauth2.Config{
			ClientID:     told.ClientID,
			ClientSecret: told.ClientSecret,
			Endpoint:     provider.Endpoint(),
			RedirectURL:  told.RedirectURI,
			Scopes:       strings.Fields(told.Scopes),
		},
	}
	lines := bufio.NewScanner(os.Stdin)
	token := a.logIn(lines)
	for lines.Scan() {
		// Without an access token that is good it refreshes.
		before := &oauth2.Token{RefreshToken: token.RefreshToken}
		token, err = a.oauth.TokenSource(ctx, before).Token()
		check(err)
		tell(a.accept(token, ""))
	}
}

func (a *app) logIn(lines *bufio.Scanner) *oauth2.Token {
	const state, nonce = "a-state", "a-nonce"
	secret := oauth2.GenerateVerifier()
	tell(map[string]any{"url": a.oauth.AuthCodeURL(
		state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(secret),
	)})
	lines.Scan()
	landing, err := url.Parse(lines.Text())
	check(err)
	if landing.Query().Get("state") != state {
		log.Fatal("another state: ", landing)
	}
	code := landing.Query().Get("code")
	token, err := a.oauth.Exchange(a.context, code, oauth2.VerifierOption(secret))
	check(err)
	tell(a.accept(token, nonce))
	return token
}

// accept verifies what the token endpoint has answered, and what it answered before.
func (a *app) accept(token *oauth2.Token, nonce string) map[string]any {
	raw, _ := token.Extra("id_token").(string)
	verified, err := a.verifier.Verify(a.context, raw)
	check(err)
	check(verified.VerifyAccessToken(token.AccessToken))
	if nonce != "" && verified.Nonce != nonce {
		log.Fatal("another nonce: ", verified.Nonce)
	}
	a.idTokens = append(a.idTokens, raw)
	for _, earlier := range a.idTokens {
		_, err := a.verifier.Verify(a.context, earlier)
		check(err)
	}
	info, err := a.provider.UserInfo(a.context, oauth2.StaticTokenSource(token))
	check(err)
	if info.Subject != verified.Subject {
		log.Fatal("somebody else: ", info.Subject)
	}
	var claims, header map[string]any
	check(verified.Claims(&claims))
	decoded, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[0])
	check(err)
	check(json.Unmarshal(decoded, &header))
	return map[string]any{
		"claims": claims, "email": info.Email, "header": header, "kept": len(a.idTokens),
	}
}

func tell(what any) {
	line, err := json.Marshal(what)
	check(err)
	fmt.Println(string(line))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
