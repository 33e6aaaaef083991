#include "kv/cache/spill_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "base/error.h"

namespace throng::kv {
namespace {

// Transfers everything, or returns false.
template <typename Transfer>
bool TransferAll(size_t size, const Transfer& transfer) {
  for (size_t done = 0; done < size;) {
    const ssize_t count = transfer(done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    done += static_cast<size_t>(count);
  }
  return true;
}

Digest DigestOfBlock(const uint8_t* block, size_t size) {
  return DigestOf({reinterpret_cast<const char*>(block), size});
}

}  // namespace

SpillFile::SpillFile(const std::string& folder, size_t block_bytes, uint64_t max_bytes)
    : block_bytes_(block_bytes), max_blocks_(max_bytes / block_bytes) {
  THRONG_CHECK(block_bytes > 0);
  std::string path = folder + "/throng-spill.XXXXXX";
  fd_ = mkostemp(path.data(), O_CLOEXEC);
  if (fd_ < 0)
    throw MakeError(ErrorCode::kIo, "{}: cannot make a file here: {}", folder, std::strerror(errno));
  unlink(path.c_str());
}

SpillFile::~SpillFile() { close(fd_); }

int64_t SpillFile::Write(const uint8_t* block) {
  if (IsFull()) return -1;
  const int64_t slot = free_.empty() ? end_ : free_.back();
  const auto offset = static_cast<off_t>(slot) * static_cast<off_t>(block_bytes_);
  const auto write = [&](size_t done) {
    return pwrite(fd_, block + done, block_bytes_ - done, offset + static_cast<off_t>(done));
  };
  if (!TransferAll(block_bytes_, write)) return -1;
  if (free_.empty()) {
    ++end_;
  } else {
    free_.pop_back();
  }
  digests_[slot] = DigestOfBlock(block, block_bytes_);
  return slot;
}

bool SpillFile::Read(int64_t slot, uint8_t* block) const {
  const auto offset = static_cast<off_t>(slot) * static_cast<off_t>(block_bytes_);
  const auto read = [&](size_t done) {
    return pread(fd_, block + done, block_bytes_ - done, offset + static_cast<off_t>(done));
  };
  return TransferAll(block_bytes_, read) && DigestOfBlock(block, block_bytes_) == digests_.at(slot);
}

void SpillFile::Free(int64_t slot) {
  THRONG_CHECK(digests_.erase(slot) == 1);
  free_.push_back(slot);
}

}  // namespace throng::kv
