// A real provider of OpenID Connect, certified as one, for tests: `node oidc-provider.mjs ISSUER CLIENTS`.
//
// It listens at the port that its issuer names, for this machine only if that is 127.0.0.1.
//
// CLIENTS is a JSON file with the clients' metadata; beside it `people.json` says who there is, with their claims. It is read at
// every question, so that a test changes it. Whoever is in it logs in with any password.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import Provider from 'oidc-provider';

const [issuer, clients] = process.argv.slice(2);
const { hostname, port } = new URL(issuer);
const people = () => JSON.parse(readFileSync(join(dirname(clients), 'people.json'), 'utf8'));

const provider = new Provider(issuer, {
  clients: JSON.parse(readFileSync(clients, 'utf8')),
  claims: { openid: ['sub'], profile: ['preferred_username', 'groups'], email: ['email', 'email_verified'] },
  features: { backchannelLogout: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  cookies: { keys: ['of no worth'] },
  issueRefreshToken: async () => true,
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope('openid profile email offline_access');
    await grant.save();
    return grant;
  },
  findAccount: async (_, id) => {
    const claims = people()[id];
    return claims && { accountId: id, claims: async () => ({ sub: id, ...people()[id] }) };
  },
});
provider.on('server_error', (_, error) => console.error(error));
provider.on('backchannel.error', (_, error) => console.error(error));
provider.listen(Number(port), hostname === '127.0.0.1' ? hostname : '0.0.0.0', () => console.log('ready'));
