// Sealed blocks on disk: written when memory is short, and read back instead of computed again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/digest.h"

namespace throng::kv {

// A file without a name in a folder, gone when the process ends, even by a crash. For one thread.
class SpillFile {
 public:
  // Throws kIo, with the folder, if no file can be made there.
  SpillFile(const std::string& folder, size_t block_bytes, uint64_t max_bytes);
  ~SpillFile();
  SpillFile(const SpillFile&) = delete;
  SpillFile& operator=(const SpillFile&) = delete;

  bool IsFull() const { return digests_.size() >= max_blocks_; }
  size_t NumBlocks() const { return digests_.size(); }

  // Returns the block's slot, or -1 if the file is full or the write fails: then the block is lost, and its
  // tokens are computed again when needed.
  [[nodiscard]] int64_t Write(const uint8_t* block);
  // False if the disk does not return what was written.
  [[nodiscard]] bool Read(int64_t slot, uint8_t* block) const;
  void Free(int64_t slot);

 private:
  const size_t block_bytes_;
  const size_t max_blocks_;
  int fd_ = -1;
  int64_t end_ = 0;            // number of slots in the file
  std::vector<int64_t> free_;  // slots without a block
  std::unordered_map<int64_t, Digest> digests_;
};

}  // namespace throng::kv
