// A file mapped read-only into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace throng {

class MappedFile {
 public:
  // Throws kIo, with the path, if the file cannot be opened or mapped. An empty file maps to an empty span.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;

  std::span<const uint8_t> Bytes() const { return {data_, size_}; }
  const std::string& Path() const { return path_; }

 private:
  std::string path_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// The whole file as a string; throws kIo with the path.
std::string ReadFile(const std::string& path);

}  // namespace throng
