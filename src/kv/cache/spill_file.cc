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

SpillFile::SpillFile(const std::string& folder, size_t base_bytes, size_t fine_bytes, uint64_t max_bytes)
    : base_bytes_(base_bytes), fine_bytes_(fine_bytes), max_blocks_(max_bytes / (base_bytes + fine_bytes)) {
  THRONG_CHECK(base_bytes > 0);
  std::string path = folder + "/throng-spill.XXXXXX";
  fd_ = mkostemp(path.data(), O_CLOEXEC);
  if (fd_ < 0)
    throw MakeError(ErrorCode::kIo, "{}: cannot make a file here: {}", folder, std::strerror(errno));
  unlink(path.c_str());
}

SpillFile::~SpillFile() { close(fd_); }

bool SpillFile::WriteAt(int64_t offset, const uint8_t* data, size_t size) {
  return TransferAll(size, [&](size_t done) {
    return pwrite(fd_, data + done, size - done, static_cast<off_t>(offset) + static_cast<off_t>(done));
  });
}

bool SpillFile::ReadAt(int64_t offset, uint8_t* data, size_t size) const {
  return TransferAll(size, [&](size_t done) {
    return pread(fd_, data + done, size - done, static_cast<off_t>(offset) + static_cast<off_t>(done));
  });
}

int64_t SpillFile::Write(const uint8_t* base, const uint8_t* fine) {
  if (IsFull()) return -1;
  const int64_t slot = free_.empty() ? end_ : free_.back();
  const int64_t offset = slot * static_cast<int64_t>(SlotBytes());
  Slot written;
  if (base != nullptr) {
    if (!WriteAt(offset, base, base_bytes_)) return -1;
    written.base = DigestOfBlock(base, base_bytes_);
  }
  if (fine != nullptr) {
    if (!WriteAt(offset + static_cast<int64_t>(base_bytes_), fine, fine_bytes_)) return -1;
    written.fine = DigestOfBlock(fine, fine_bytes_);
  }
  if (free_.empty()) {
    ++end_;
  } else {
    free_.pop_back();
  }
  slots_[slot] = written;
  return slot;
}

bool SpillFile::Read(int64_t slot, uint8_t* base, uint8_t* fine) const {
  const int64_t offset = slot * static_cast<int64_t>(SlotBytes());
  const Slot& held = slots_.at(slot);
  const auto read = [this](int64_t at, uint8_t* data, size_t size, const std::optional<Digest>& digest) {
    return !digest || (ReadAt(at, data, size) && DigestOfBlock(data, size) == *digest);
  };
  return read(offset, base, base_bytes_, held.base) &&
         read(offset + static_cast<int64_t>(base_bytes_), fine, fine_bytes_, held.fine);
}

void SpillFile::Free(int64_t slot) {
  THRONG_CHECK(slots_.erase(slot) == 1);
  free_.push_back(slot);
}

}  // namespace throng::kv
