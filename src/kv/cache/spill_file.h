// Sealed blocks on disk: written when memory is short, and read back instead of computed again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/digest.h"
#include "kv/cache/block_pool.h"

namespace throng::kv {

// Files without names in a folder, one per kind of slab, gone when the process ends, even by a crash. For one
// thread.
class SpillFile {
 public:
  // Blocks have the kinds of this layout. Throws kIo, with the folder, if no file can be made there.
  SpillFile(const std::string& folder, const BlockLayout& layout, uint64_t max_bytes);
  ~SpillFile();
  SpillFile(const SpillFile&) = delete;
  SpillFile& operator=(const SpillFile&) = delete;

  // Whether what the block holds fits into the limit.
  bool HasRoom(const SealedBlock& block) const { return used_bytes_ + BytesOf(block) <= max_bytes_; }
  size_t NumBlocks() const { return blocks_.size(); }

  // Writes what the block holds. Returns its number here, or -1 if there is no room or the write fails: then
  // the block is lost, and its tokens are computed again when needed.
  [[nodiscard]] int64_t Write(const SealedBlock& block);
  // Whether the block was written with such a slab.
  bool Has(int64_t block, BlockKind kind) const;
  // Reads one such slab. False if the disk does not return what was written.
  [[nodiscard]] bool Read(int64_t block, BlockKind kind, Block& slab);
  void Free(int64_t block);

 private:
  // The file of one kind of slab, in slots of equal size.
  struct File {
    size_t slab_bytes = 0;
    int fd = -1;
    int64_t end = 0;            // number of slots
    std::vector<int64_t> free;  // slots without a slab
  };
  struct Slab {
    int64_t slot;
    Digest digest;
  };
  using Slabs = std::array<std::optional<Slab>, kSealedKinds.size()>;

  bool Read(const File& file, const Slab& slab, uint8_t* data) const;
  static size_t BytesOf(const SealedBlock& block);
  static std::optional<Slab> WriteSlab(File& file, const uint8_t* data);
  void FreeSlabs(const Slabs& slabs);

  std::array<File, kSealedKinds.size()> files_;
  const uint64_t max_bytes_;
  uint64_t used_bytes_ = 0;
  int64_t end_ = 0;            // numbers of blocks given out
  std::vector<int64_t> free_;  // those that have become free
  std::unordered_map<int64_t, Slabs> blocks_;
  std::vector<uint8_t> buffer_;  // for slabs of a device
};

}  // namespace throng::kv
