// A real OAuth 2.1 / OpenID Connect authorisation server for the tests. Everybody who comes is `ada` and agrees to all.
// Prints its issuer in the first line. Usage: node authorisation_server.mjs '{"resources": "http://127.0.0.1:1234"}'
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { createLocalJWKSet, jwtVerify } from 'jose';
import Provider from 'oidc-provider';

const told = JSON.parse(process.argv[2] ?? '{}');
const scopes = told.scopes ?? 'mcp:read mcp:write';

const key = (type, options, more) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), use: 'sig', ...more,
});
const jwks = {
  keys: [
    key('ec', { namedCurve: 'P-256' }, { alg: 'ES256', kid: 'ec-1' }),
    key('rsa', { modulusLength: 2048 }, { alg: 'RS256', kid: 'rsa-1' }),
  ],
};

const published = jwks.keys.map(({ d, p, q, dp, dq, qi, ...open }) => open);
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const server = createServer();
await new Promise((ready) => server.listen(told.port ?? 0, '127.0.0.1', ready));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  jwks,
  clients: [{
    client_id: 'robot', client_secret: 'robot-secret', redirect_uris: [], response_types: [],
    grant_types: ['client_credentials', EXCHANGE],
  }],
  scopes: ['openid', 'offline_access', ...scopes.split(' ')],
  pkce: { required: () => true },
  cookies: { keys: ['only for tests'] },
  ttl: { AccessToken: told.life_s ?? 600, RefreshToken: 3600, ClientCredentials: 600, Session: 600, Grant: 600, Interaction: 600, IdToken: 600 },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: () => ({ groups: ['engineers'], name: 'Ada Lovelace' }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => {
        if (told.resources && !resource.startsWith(told.resources)) throw new Error('invalid_target');
        return { scope: scopes, audience: resource, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } };
      },
    },
  },
});

// RFC 8693: a token for another resource, for the one whom the given token speaks of.
provider.registerGrantType(EXCHANGE, async (ctx) => {
  const { subject_token: subject, resource } = ctx.oidc.params;
  const { payload } = await jwtVerify(subject, createLocalJWKSet({ keys: published }), { issuer });
  const info = { scope: scopes, audience: resource, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } };
  const token = new provider.AccessToken({ accountId: payload.sub, client: ctx.oidc.client, scope: 'mcp:read' });
  token.resourceServer = new provider.ResourceServer(resource, info);
  ctx.body = {
    access_token: await token.save(), token_type: 'Bearer', expires_in: token.expiration,
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
  };
}, new Set(['subject_token', 'subject_token_type', 'requested_token_type', 'resource', 'audience', 'scope']), ['resource']);

async function agree(ctx) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(ctx.req, ctx.res);
  if (prompt.name === 'login') {
    await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: 'ada' } });
    return;
  }
  const grant = (grantId && (await provider.Grant.find(grantId)))
    || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '));
  for (const [resource, missing] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, missing.join(' '));
  }
  await provider.interactionFinished(
    ctx.req, ctx.res, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true },
  );
}

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next();
  ctx.respond = false;
  return agree(ctx);
});
server.on('request', provider.callback());
console.log(issuer);
