// Sealed blocks on disk: written when memory is short, and read back instead of computed again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/digest.h"

namespace throng::kv {

// A file without a name in a folder, gone when the process ends, even by a crash. For one thread.
class SpillFile {
 public:
  // base_bytes, fine_bytes: of a block in each form. Throws kIo, with the folder, if no file can be made
  // there.
  SpillFile(const std::string& folder, size_t base_bytes, size_t fine_bytes, uint64_t max_bytes);
  ~SpillFile();
  SpillFile(const SpillFile&) = delete;
  SpillFile& operator=(const SpillFile&) = delete;

  bool IsFull() const { return slots_.size() >= max_blocks_; }
  size_t NumBlocks() const { return slots_.size(); }

  // Writes the forms that are not null. Returns the block's slot, or -1 if the file is full or the write
  // fails: then the block is lost, and its tokens are computed again when needed.
  [[nodiscard]] int64_t Write(const uint8_t* base, const uint8_t* fine);
  // The forms that a slot holds.
  bool HasBase(int64_t slot) const { return slots_.at(slot).base.has_value(); }
  bool HasFine(int64_t slot) const { return slots_.at(slot).fine.has_value(); }
  // Reads the forms that are held; the others are ignored. False if the disk does not return what was
  // written.
  [[nodiscard]] bool Read(int64_t slot, uint8_t* base, uint8_t* fine) const;
  void Free(int64_t slot);

 private:
  // The digests of what a slot holds. A slot has room for both forms; on disk, a form never written is a
  // hole.
  struct Slot {
    std::optional<Digest> base;
    std::optional<Digest> fine;
  };

  size_t SlotBytes() const { return base_bytes_ + fine_bytes_; }
  bool WriteAt(int64_t offset, const uint8_t* data, size_t size);
  bool ReadAt(int64_t offset, uint8_t* data, size_t size) const;

  const size_t base_bytes_;
  const size_t fine_bytes_;
  const size_t max_blocks_;
  int fd_ = -1;
  int64_t end_ = 0;            // number of slots in the file
  std::vector<int64_t> free_;  // slots without a block
  std::unordered_map<int64_t, Slot> slots_;
};

}  // namespace throng::kv
