// Atomic file writes: a file appears under its name complete, or not at all.
#pragma once

#include <cstddef>
#include <string>

namespace throng {

// Writes to a temporary file in the same folder; Commit makes it durable and renames it. Without Commit, the
// temporary file is removed and any earlier file of that name stays. All functions throw kIo, with the path,
// or kExhausted if the disk is full.
class AtomicFile {
 public:
  // Refuses an existing path that is not a regular file: a rename would replace devices and folders.
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void Write(const void* data, size_t size);
  void Commit();

 private:
  [[noreturn]] void Fail(int error) const;

  const std::string path_;
  std::string temporary_;
  int fd_ = -1;
};

}  // namespace throng
