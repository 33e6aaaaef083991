// Blocks on disk: where sealed blocks go when memory is short, to be read again instead of computed again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/digest.h"

namespace throng::kv {

// A file without a name in a folder: it is gone with the process, however that ends. For one thread.
class SpillFile {
 public:
  // Throws kIo, with the folder, if no file can be made there.
  SpillFile(const std::string& folder, size_t block_bytes, uint64_t max_bytes);
  ~SpillFile();
  SpillFile(const SpillFile&) = delete;
  SpillFile& operator=(const SpillFile&) = delete;

  bool IsFull() const { return digests_.size() >= max_blocks_; }
  size_t NumBlocks() const { return digests_.size(); }

  // The slot of the block, or -1 if the file is full or the disk does not take it: then the block is lost,
  // and its tokens are computed again when they are needed.
  [[nodiscard]] int64_t Write(const uint8_t* block);
  // False if the disk does not give back what was written.
  [[nodiscard]] bool Read(int64_t slot, uint8_t* block) const;
  void Free(int64_t slot);

 private:
  const size_t block_bytes_;
  const size_t max_blocks_;
  int fd_ = -1;
  int64_t end_ = 0;            // slots of the file
  std::vector<int64_t> free_;  // of these, those without a block
  std::unordered_map<int64_t, Digest> digests_;
};

}  // namespace throng::kv
