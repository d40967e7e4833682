// Reads cases from the standard input and says of each whether @sigstore/verify accepts it: the
// checkpoint's signature by the key given, and the entry's inclusion under the checkpoint's root.
'use strict';
const crypto = require('crypto');
const { verifyTLogInclusion } = require('@sigstore/verify/dist/tlog');

const { cases, key, keyId, origin } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const publicKey = crypto.createPublicKey({
  key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(key, 'hex').toString('base64url') },
  format: 'jwk',
});
const authority = { logID: Buffer.from(keyId, 'hex'), baseURL: origin, publicKey };

const answers = cases.map(({ index, entry, hashes, note }) => {
  const claimed = {
    canonicalizedBody: Buffer.from(entry, 'hex'),
    inclusionProof: {
      logIndex: String(index),
      hashes: hashes.map((h) => Buffer.from(h, 'hex')),
      checkpoint: { envelope: note },
    },
  };
  try {
    verifyTLogInclusion(claimed, [authority]);
    return 'ok';
  } catch (error) {
    if (error.code !== 'TLOG_INCLUSION_PROOF_ERROR') throw error;
    return error.message;
  }
});
process.stdout.write(JSON.stringify(answers));
