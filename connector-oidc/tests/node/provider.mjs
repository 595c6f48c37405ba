// A provider with the users and the client it is told of, one line of JSON each way:
// {"users": {…}} replaces who there is, and is answered with {"ready": true}.
import readline from 'node:readline';

import Provider from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
let users = settings.users;

const provider = new Provider(settings.issuer, {
  clients: [settings.client],
  scopes: ['openid', 'offline_access', 'profile', 'email', 'groups', 'address'],
  claims: {
    profile: ['name', 'preferred_username', 'given_name', 'updated_at'],
    address: ['address'],
    email: ['email', 'email_verified'],
    groups: ['groups'],
  },
  // Claims are in the ID token too, as most providers have it.
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async (context, client, code) => code.scopes.has('offline_access'),
  findAccount: async (context, id) =>
    users[id] && { accountId: id, claims: async () => ({ sub: id, ...users[id] }) },
  features: {
    devInteractions: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
  cookies: { keys: ['of a test'] },
});

const server = provider.listen(settings.port, '127.0.0.1', () => {
  console.log(JSON.stringify({ ready: true }));
});
const lines = readline.createInterface({ input: process.stdin });
lines.on('line', (line) => {
  users = JSON.parse(line).users;
  console.log(JSON.stringify({ ready: true }));
});
lines.on('close', () => {
  server.close();
  server.closeAllConnections();
});
