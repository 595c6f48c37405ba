// oidc-provider with one client, whose users are whoever they say they are.
// Its argument is how the client proves itself. It prints its address when it listens,
// and is then told, as a line, where browsers come back.
import Provider from "oidc-provider";
import { createServer } from "node:http";
import { createInterface } from "node:readline/promises";

const server = createServer();
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const issuer = `http://127.0.0.1:${server.address().port}`;
console.log(issuer);
const redirectUri = await createInterface({ input: process.stdin }).question("");

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "dexcore",
      client_secret: "a secret with spaces, + and %",
      redirect_uris: [redirectUri],
      response_types: ["code"],
      grant_types: ["authorization_code"],
      token_endpoint_auth_method: process.argv[2],
    },
  ],
  claims: { openid: ["sub"], profile: ["name", "nickname", "roles"], email: ["email"] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      name: `${id} of Node`,
      nickname: id,
      email: `${id}@example.com`,
      roles: [{ name: "admins" }, { name: "authors" }],
    }),
  }),
  pkce: { required: () => true },
  cookies: { keys: ["a key for tests"] },
});
server.on("request", provider.callback());
console.log("ready");
