"""The README of every bundle: one text, whose hash the verifier knows."""

README = """\
EVIDENCE OF A MOORAGE LOG

This archive is checked by one program, verify.py, which needs Python 3.11 and pycryptodome and
opens no connection. Take it from the published source, not from whoever gave you this archive.

    python verify.py bundle FILE --log-key KEY
        --anchor-address ADDRESS --chain-id N --block-hash HASH

What you give it is what you know from elsewhere, and nothing in here can stand for it:
  KEY       the log's key, published by the operator when the log began
  ADDRESS   the AuditAnchor contract that holds the log's checkpoints, likewise
  N, HASH   the chain, and the hash of one block. Which block: see block.number in anchors/*.json.
            Ask a node of that chain that is not the operator's.

Exit code 0: all holds. 1: something does not; the line says which step, which file and which entry.
2: a step that manifest.json claims could not be taken, mostly because something was not given.

  manifest.json       the hash of every file, and the steps that are claimed to hold
  policy              the log's key as a tlog-policy (c2sp.org/tlog-policy); compare it with yours
  checkpoint          the newest signed tree head; checkpoints/ has older ones
  entries/            the log, 256 entries a file, one JSON object a line; #HASH is an entry of
                      another tenant, of which you see the hash alone
  tile/               the Merkle tree over them (c2sp.org/tlog-tiles)
  proofs/             inclusion of what was settled; consistency between the checkpoints
  anchors.json        what the log says was put on chain; anchors/ proves it, by a block's header
  forks/              evidence that this log has two histories: a sound log has none
  people.json         whose signatures approvals are
  policies/           each policy document, by the number of its entry
  decisions.csv       each decision: on what, by which rule, who approved
  ledger.csv          every journal that the log's seals commit to
  disclosures.json    personal data that was opened to you, with the salts that bind it to the log
"""
