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

Digest DigestOfSlab(const uint8_t* data, size_t size) {
  return DigestOf({reinterpret_cast<const char*>(data), size});
}

int OpenIn(const std::string& folder) {
  std::string path = folder + "/throng-spill.XXXXXX";
  const int fd = mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) {
    throw MakeError(ErrorCode::kIo, "{}: cannot make a file here: {}", folder, std::strerror(errno));
  }
  unlink(path.c_str());
  return fd;
}

size_t Index(BlockKind kind) { return static_cast<size_t>(kind); }

}  // namespace

SpillFile::SpillFile(const std::string& folder, const BlockLayout& layout, uint64_t max_bytes)
    : max_bytes_(max_bytes) {
  for (const BlockKind kind : kSealedKinds) {
    File& file = files_[Index(kind)];
    file.slab_bytes = SlabBytes(layout, kind);
    if (file.slab_bytes > 0) file.fd = OpenIn(folder);
  }
}

SpillFile::~SpillFile() {
  for (const File& file : files_) {
    if (file.fd >= 0) close(file.fd);
  }
}

size_t SpillFile::BytesOf(const SealedBlock& block) {
  size_t bytes = 0;
  for (const BlockKind kind : kSealedKinds) {
    if (const BlockRef& slab = block.Of(kind)) bytes += slab->Bytes();
  }
  return bytes;
}

std::optional<SpillFile::Slab> SpillFile::WriteSlab(File& file, const uint8_t* data) {
  const int64_t slot = file.free.empty() ? file.end : file.free.back();
  const auto offset = static_cast<off_t>(slot) * static_cast<off_t>(file.slab_bytes);
  const bool written = TransferAll(file.slab_bytes, [&](size_t done) {
    return pwrite(file.fd, data + done, file.slab_bytes - done, offset + static_cast<off_t>(done));
  });
  if (!written) return std::nullopt;
  if (file.free.empty()) {
    ++file.end;
  } else {
    file.free.pop_back();
  }
  return Slab{slot, DigestOfSlab(data, file.slab_bytes)};
}

int64_t SpillFile::Write(const SealedBlock& block) {
  if (!HasRoom(block)) return -1;
  Slabs slabs;
  for (const BlockKind kind : kSealedKinds) {
    const BlockRef& slab = block.Of(kind);
    if (slab == nullptr) continue;
    slabs[Index(kind)] = WriteSlab(files_[Index(kind)], slab->OnHost(buffer_));
    if (!slabs[Index(kind)]) {
      FreeSlabs(slabs);
      return -1;
    }
  }
  used_bytes_ += BytesOf(block);
  const int64_t number = free_.empty() ? end_++ : free_.back();
  if (!free_.empty()) free_.pop_back();
  blocks_[number] = slabs;
  return number;
}

bool SpillFile::Has(int64_t block, BlockKind kind) const {
  return blocks_.at(block)[Index(kind)].has_value();
}

bool SpillFile::Read(int64_t block, BlockKind kind, Block& slab) {
  const File& file = files_[Index(kind)];
  const Slab& written = blocks_.at(block)[Index(kind)].value();
  if (slab.IsHost()) return Read(file, written, slab.Data());
  buffer_.resize(file.slab_bytes);
  if (!Read(file, written, buffer_.data())) return false;
  slab.CopyFromHost(buffer_.data());
  return true;
}

bool SpillFile::Read(const File& file, const Slab& slab, uint8_t* data) const {
  const auto offset = static_cast<off_t>(slab.slot) * static_cast<off_t>(file.slab_bytes);
  return TransferAll(file.slab_bytes,
                     [&](size_t done) {
                       return pread(file.fd, data + done, file.slab_bytes - done,
                                    offset + static_cast<off_t>(done));
                     }) &&
         DigestOfSlab(data, file.slab_bytes) == slab.digest;
}

void SpillFile::FreeSlabs(const Slabs& slabs) {
  for (size_t i = 0; i < slabs.size(); ++i) {
    if (slabs[i]) files_[i].free.push_back(slabs[i]->slot);
  }
}

void SpillFile::Free(int64_t block) {
  const auto found = blocks_.find(block);
  THRONG_CHECK(found != blocks_.end());
  for (size_t i = 0; i < files_.size(); ++i) {
    if (found->second[i]) used_bytes_ -= files_[i].slab_bytes;
  }
  FreeSlabs(found->second);
  blocks_.erase(found);
  free_.push_back(block);
}

}  // namespace throng::kv
