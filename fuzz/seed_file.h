// Files that programs write as first inputs of fuzzers.
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

namespace throng::fuzz {

inline bool WriteSeed(const std::string& path, std::span<const uint8_t> bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return false;
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  return std::fclose(file) == 0 && written;
}

}  // namespace throng::fuzz
