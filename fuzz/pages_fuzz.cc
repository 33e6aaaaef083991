// A file of pages with some bytes changed, and its checksums optionally corrected, gives an Error, or pages
// that can be used. Input: a byte that says of which layout the file is and whether to correct the checksums,
// then (offset, value) in 2 + 1 bytes.

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/mapped_file.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/page_file.h"
#include "kv/layer_codecs.h"

using throng::Digest;
using throng::Error;
using throng::Hasher;
using namespace throng::kv;

namespace {

constexpr int kDim = 8;
constexpr int kTokens = 3 * kPageTokens + 6;

// A valid file, and the sizes of its blocks in their order.
struct Fixture {
  Fixture(const BlockLayout& layout, const std::vector<size_t BlockLayout::*>& blocks)
      : pool(layout, size_t{1} << 24) {
    for (const auto block : blocks) sizes.push_back(pool.Layout().*block);
    char name[] = "/tmp/pages_fuzz.XXXXXX";
    close(mkstemp(name));
    SequenceCache cache(pool);
    std::vector<float> rows(kTokens * kDim);
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<float>(i * i % 31) - 15;
    if (!cache.Reserve(kTokens)) __builtin_trap();
    cache.BeginChunk(kTokens);
    for (int layer = 0; layer < layout.NumLayers(); ++layer) {
      cache.Append(layer, 0, {rows.data(), kDim}, {rows.data(), kDim});
      cache.FinishLayer(layer, 0);
    }
    cache.EndChunk();
    SavePages(name, source, std::vector<int32_t>(kTokens, 3), cache);
    valid = throng::ReadFile(name);
    unlink(name);
  }
  PageSource source{{1, 2}, "fuzz"};
  BlockPool pool;
  std::vector<size_t> sizes;
  std::string valid;
};

// Three sealed blocks: the first in the fine form alone, the second in the base form, the third in both.
Fixture FinePages() {
  using Layout = BlockLayout;
  return {MakeLayout(CodecFlags{.kv = "gear2:s=5%,sink=64,recent=64"}, AlikeLayers(1, 1, kDim)),
          {&Layout::fine_bytes, &Layout::bytes, &Layout::bytes, &Layout::fine_bytes, &Layout::open_bytes}};
}

// The second layer sees the last 100 tokens: its pages of the first block are gone.
Fixture SlidingPages() {
  using Layout = BlockLayout;
  const Reach reaches[] = {{}, {.window = 100}};
  return {WithReaches(MakeLayout(CodecFlags{.kv = "flashq4"}, AlikeLayers(2, 1, kDim)), reaches),
          {&Layout::bytes, &Layout::bytes, &Layout::sliding_bytes, &Layout::bytes, &Layout::sliding_bytes,
           &Layout::open_bytes}};
}

// The sizes are those of the valid file: the checks of the header refuse changed sizes.
void CorrectChecksums(const std::vector<size_t>& sizes, std::string& file) {
  constexpr size_t kDigest = sizeof(Digest);
  const size_t blocks = std::accumulate(sizes.begin(), sizes.end(), size_t{0});
  const size_t header = file.size() - blocks - (sizes.size() + 1) * kDigest;
  const Digest of_header = throng::DigestOf({file.data(), header});
  std::memcpy(file.data() + header, &of_header, kDigest);
  size_t at = header + kDigest;
  uint64_t index = 0;
  for (const size_t size : sizes) {
    const Digest digest = Hasher().Add(of_header).Add(index++).Bytes(file.data() + at, size).Finish();
    std::memcpy(file.data() + at + size, &digest, kDigest);
    at += size + kDigest;
  }
}

void UsePages(const SequenceCache& cache) {
  std::vector<float> block(kPageTokens * kDim);
  const BlockLayout& layout = cache.Layout();
  const auto num_sealed = static_cast<int>(cache.SealedBlocks().size());
  for (int layer = 0; layer < layout.NumLayers(); ++layer) {
    const PageSpec& page = layout.At(layer, 0);
    for (int i = layout.Slides(layer) ? layout.FirstSliding(num_sealed) : 0; i < num_sealed; ++i) {
      const Form form = layout.window.Seen(i, num_sealed);
      const PageView view = cache.Sealed(layer, 0, i, form);
      page.Keys(form).Decode(Part::kKeys, view.keys, block.data());
      page.Values(form).Decode(Part::kValues, view.values, block.data());
    }
  }
  if (!cache.Fork()) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Fixture fine = FinePages(), sliding = SlidingPages();
  if (size < 1) return 0;
  Fixture& fixture = (data[0] & 0x80) != 0 ? sliding : fine;
  std::string file = fixture.valid;
  for (size_t i = 1; i + 3 <= size; i += 3) {
    const size_t offset = data[i] | static_cast<size_t>(data[i + 1]) << 8;
    file[offset % file.size()] = static_cast<char>(data[i + 2]);
  }
  if (data[0] % 4 != 0) CorrectChecksums(fixture.sizes, file);
  if (data[0] % 4 == 3) file.resize(file.size() * data[0] / 256);
  const int fd = memfd_create("pages", MFD_CLOEXEC);
  if (fd < 0 || write(fd, file.data(), file.size()) != static_cast<ssize_t>(file.size())) __builtin_trap();
  try {
    const SavedPages pages = LoadPages("/proc/self/fd/" + std::to_string(fd), fixture.source, fixture.pool);
    UsePages(pages.cache);
  } catch (const Error&) {
  }
  close(fd);
  if (fixture.pool.HeldBytes() != 0) __builtin_trap();
  return 0;
}
