// A server with Auth0's SDK for Express. docs/from-express.md compares it with the library.
import express from 'express';
import { auth, claimEquals, requiredScopes } from 'express-oauth2-jwt-bearer';

const app = express();

// ISSUER_BASE_URL and AUDIENCE come from the environment.
app.use('/api/private', auth({ tokenSigningAlg: 'RS256' }));

app.get('/api/public', (req, res) => {
  res.json({ status: 'success', msg: 'open to all' });
});

app.get('/api/private', (req, res) => {
  res.json(req.auth.payload);
});

app.get('/api/private/messages', requiredScopes('read:messages'), (req, res) => {
  res.send(`read by ${req.auth.payload.sub}`);
});

app.get('/api/private/gold', claimEquals('https://my.app/tier', 'gold'), (req, res) => {
  res.send('gold');
});

app.listen(process.env.PORT, '127.0.0.1');
