// Verifies a folder of tlog-tiles with golang.org/x/mod/sumdb's note and tlog packages, whose code
// is behind Go's checksum database: FOLDER VKEY OLD-CHECKPOINT PROOFS. Exit code 1 and a reason if
// anything does not hold. PROOFS is JSON: our inclusion and consistency proofs, to be checked too.
package main

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type proofs struct {
	Inclusion []struct {
		Index  int64
		Hashes []string
	}
	Consistency []string
}

// folder serves tiles in the layout of C2SP: without the height, which is always 8.
type folder string

func (f folder) Height() int                         { return height }
func (f folder) SaveTiles(_ []tlog.Tile, _ [][]byte) {}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, t := range tiles {
		path := strings.Replace(t.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(string(f), path))
		if err != nil {
			full := t
			full.W = 1 << height
			path = strings.Replace(full.Path(), "tile/8/", "tile/", 1)
			if data, err = os.ReadFile(filepath.Join(string(f), path)); err != nil {
				return nil, err
			}
			data = data[:t.W*tlog.HashSize]
		}
		read = append(read, data)
	}
	return read, nil
}

func (f folder) bundle(n, size int64) ([][]byte, error) {
	t := tlog.Tile{H: height, L: 0, N: n, W: 1 << height}
	if size-n<<height < 1<<height {
		t.W = int(size - n<<height)
	}
	path := strings.Replace(t.Path(), "tile/8/0/", "tile/entries/", 1)
	data, err := os.ReadFile(filepath.Join(string(f), path))
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(data) > 0 {
		length := int(binary.BigEndian.Uint16(data))
		entries = append(entries, data[2:2+length])
		data = data[2+length:]
	}
	return entries, nil
}

func checkpoint(path, vkey string) (tlog.Tree, error) {
	var tree tlog.Tree
	data, err := os.ReadFile(path)
	if err != nil {
		return tree, err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tree, err
	}
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if lines[0] != verifier.Name() {
		return tree, fmt.Errorf("origin %s", lines[0])
	}
	if _, err := fmt.Sscanf(lines[1], "%d", &tree.N); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

func hashes(texts []string) ([]tlog.Hash, error) {
	made := make([]tlog.Hash, len(texts))
	for i, text := range texts {
		raw, err := hex.DecodeString(text)
		if err != nil || copy(made[i][:], raw) != tlog.HashSize {
			return nil, fmt.Errorf("hash %d", i)
		}
	}
	return made, nil
}

func verify(f folder, vkey, oldPath, proofsPath string) error {
	tree, err := checkpoint(filepath.Join(string(f), "checkpoint"), vkey)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	old, err := checkpoint(oldPath, vkey)
	if err != nil {
		return fmt.Errorf("old checkpoint: %w", err)
	}
	reader := tlog.TileHashReader(tree, f)
	root, err := tlog.TreeHash(tree.N, reader)
	if err != nil || root != tree.Hash {
		return fmt.Errorf("tiles: root %s, %w", root, err)
	}
	grown, err := tlog.ProveTree(tree.N, old.N, reader)
	if err != nil {
		return fmt.Errorf("consistency: %w", err)
	}
	if err := tlog.CheckTree(grown, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return fmt.Errorf("consistency: %w", err)
	}
	var leaves []tlog.Hash
	for n := int64(0); n<<height < tree.N; n++ {
		entries, err := f.bundle(n, tree.N)
		if err != nil {
			return fmt.Errorf("entries: %w", err)
		}
		for _, entry := range entries {
			leaves = append(leaves, tlog.RecordHash(entry))
		}
	}
	indexes := make([]int64, len(leaves))
	for i := range leaves {
		indexes[i] = tlog.StoredHashIndex(0, int64(i))
	}
	stored, err := reader.ReadHashes(indexes)
	if err != nil {
		return fmt.Errorf("leaves: %w", err)
	}
	for i, leaf := range leaves {
		if leaf != stored[i] {
			return fmt.Errorf("entry %d is not what its tile says", i)
		}
		if i%50 != 0 {
			continue
		}
		proof, err := tlog.ProveRecord(tree.N, int64(i), reader)
		if err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(i), leaf); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
	}
	return ours(proofsPath, tree, old, leaves)
}

func ours(path string, tree, old tlog.Tree, leaves []tlog.Hash) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var given proofs
	if err := json.Unmarshal(data, &given); err != nil {
		return err
	}
	for _, p := range given.Inclusion {
		path, err := hashes(p.Hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(path, tree.N, tree.Hash, p.Index, leaves[p.Index]); err != nil {
			return fmt.Errorf("our proof of %d: %w", p.Index, err)
		}
	}
	grown, err := hashes(given.Consistency)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(grown, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return fmt.Errorf("our consistency proof: %w", err)
	}
	return nil
}

func main() {
	if err := verify(folder(os.Args[1]), os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("verified")
}
