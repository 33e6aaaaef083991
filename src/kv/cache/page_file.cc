#include "kv/cache/page_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <utility>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/rng.h"
#include "kv/cache/block_pool.h"
#include "kv/open_codec.h"

namespace throng::kv {
namespace {

constexpr char kMagic[8] = {'t', 'h', 'r', 'o', 'n', 'g', 'k', 'v'};
constexpr uint32_t kMaxText = 1 << 18;  // the shapes of 1024 layers fit
constexpr uint32_t kMaxTokens = 1u << 28;

// Everything that must match before a file's pages can be used.
struct Header {
  PageSource source;
  std::string codecs;                                       // LayoutName
  Digest format;                                            // FormatDigest
  uint32_t num_layers = 0, num_kv_heads = 0, head_dim = 0;  // the last two are 0 if layers differ
  std::string shapes;                                       // ShapeName; in the file only if layers differ
  uint64_t sealed_bytes = 0, open_bytes = 0;                // of a block
  uint32_t num_cached = 0;                                  // tokens whose pages follow
  uint32_t num_tokens = 0;
};

Header HeaderOf(const PageSource& source, const BlockLayout& layout) {
  Header header;
  header.source = source;
  header.codecs = LayoutName(layout);
  header.format = FormatDigest(layout);
  header.num_layers = static_cast<uint32_t>(layout.layers.size());
  if (AreAlike(layout.layers)) {
    header.num_kv_heads = static_cast<uint32_t>(layout.layers.front().num_kv_heads);
    header.head_dim = static_cast<uint32_t>(layout.layers.front().key_dim);
  }
  header.shapes = ShapeName(layout.layers);
  header.sealed_bytes = layout.bytes;
  header.open_bytes = layout.open_bytes;
  return header;
}

template <typename T>
void Put(std::string& out, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void PutText(std::string& out, const std::string& text) {
  THRONG_CHECK(text.size() <= kMaxText);
  Put(out, static_cast<uint32_t>(text.size()));
  out += text;
}

// Magic, version, header and tokens.
std::string Serialize(const Header& header, std::span<const int32_t> tokens) {
  std::string out(kMagic, sizeof(kMagic));
  Put(out, kPageFileVersion);
  Put(out, header.source.model);
  PutText(out, header.source.computation);
  PutText(out, header.codecs);
  Put(out, header.format);
  Put(out, header.num_layers);
  Put(out, header.num_kv_heads);
  Put(out, header.head_dim);
  if (header.num_kv_heads == 0) PutText(out, header.shapes);
  Put(out, header.sealed_bytes);
  Put(out, header.open_bytes);
  Put(out, header.num_cached);
  Put(out, header.num_tokens);
  out.append(reinterpret_cast<const char*>(tokens.data()), tokens.size_bytes());
  return out;
}

class Reader {
 public:
  Reader(const std::string& path, std::span<const uint8_t> bytes) : path_(path), bytes_(bytes) {}

  std::span<const uint8_t> Take(size_t size, const char* what) {
    if (size > bytes_.size() - at_) {
      throw MakeError(ErrorCode::kCorrupt, "{}: the file ends after {} bytes, within its {}", path_,
                      bytes_.size(), what);
    }
    at_ += size;
    return bytes_.subspan(at_ - size, size);
  }
  template <typename T>
  T Get() {
    T value;
    std::memcpy(&value, Take(sizeof(T), "header").data(), sizeof(T));
    return value;
  }
  std::string GetText() {
    const auto size = Get<uint32_t>();
    if (size > kMaxText) {
      throw MakeError(ErrorCode::kCorrupt, "{}: a text in the header has {} bytes, at most {} are allowed",
                      path_, size, kMaxText);
    }
    const auto text = Take(size, "header");
    return {text.begin(), text.end()};
  }
  size_t At() const { return at_; }
  size_t Left() const { return bytes_.size() - at_; }

 private:
  const std::string& path_;
  const std::span<const uint8_t> bytes_;
  size_t at_ = 0;
};

void CheckMagicAndVersion(const std::string& path, Reader& reader, size_t size) {
  if (size < sizeof(kMagic) ||
      std::memcmp(reader.Take(sizeof(kMagic), "header").data(), kMagic, sizeof(kMagic)) != 0) {
    throw MakeError(ErrorCode::kCorrupt, "{}: not a file of KV pages", path);
  }
  const auto version = reader.Get<uint32_t>();
  if (version != kPageFileVersion) {
    throw MakeError(ErrorCode::kCorrupt, "{}: a file of KV pages of version {}, this program reads {}", path,
                    version, kPageFileVersion);
  }
}

Header ReadHeader(Reader& reader) {
  Header header;
  header.source.model = reader.Get<Digest>();
  header.source.computation = reader.GetText();
  header.codecs = reader.GetText();
  header.format = reader.Get<Digest>();
  header.num_layers = reader.Get<uint32_t>();
  header.num_kv_heads = reader.Get<uint32_t>();
  header.head_dim = reader.Get<uint32_t>();
  header.shapes = header.num_kv_heads == 0
                      ? reader.GetText()
                      : ShapeName(header.num_layers, {.num_kv_heads = static_cast<int>(header.num_kv_heads),
                                                      .key_dim = static_cast<int>(header.head_dim),
                                                      .value_dim = static_cast<int>(header.head_dim)});
  header.sealed_bytes = reader.Get<uint64_t>();
  header.open_bytes = reader.Get<uint64_t>();
  header.num_cached = reader.Get<uint32_t>();
  header.num_tokens = reader.Get<uint32_t>();
  return header;
}

void CheckSame(const std::string& path, const Header& found, const Header& wanted) {
  const auto require = [&path](const char* what, const std::string& is, const std::string& should) {
    if (is == should) return;
    throw MakeError(ErrorCode::kInvalid, "{}: the pages are of another {}: {}, here it is {}", path, what, is,
                    should);
  };
  require("shape", found.shapes, wanted.shapes);
  require("codec", found.codecs, wanted.codecs);
  require("computation", found.source.computation, wanted.source.computation);
  require("model", found.source.model.Hex(), wanted.source.model.Hex());
  const auto format = [](const Header& h) {
    return fmt::format("{} in blocks of {} and {} bytes", h.format.Hex(), h.sealed_bytes, h.open_bytes);
  };
  require("encoding of the same codec", format(found), format(wanted));
}

Digest BlockDigest(const Digest& header, size_t index, const uint8_t* data, size_t size) {
  return Hasher().Add(header).Add(static_cast<uint64_t>(index)).Bytes(data, size).Finish();
}

// What a file has of each block, in this order.
constexpr BlockKind kPageKinds[] = {BlockKind::kSealed, BlockKind::kSliding, BlockKind::kFine};

void CheckPages(const std::string& path, std::span<const PagePlace> places, int index, const uint8_t* slab) {
  for (const PagePlace& place : places) {
    if (place.codec->Accepts(place.part, slab + place.offset)) continue;
    throw MakeError(ErrorCode::kCorrupt, "{}: block {} holds what no codec wrote", path, index);
  }
}

// Reads the blocks of a file whose header is right.
class BlockReader {
 public:
  BlockReader(const std::string& path, Reader& reader, const Digest& header)
      : path_(path), reader_(reader), header_(header) {}

  const uint8_t* Next(size_t size) {
    const uint8_t* data = reader_.Take(size, "blocks").data();
    if (reader_.Get<Digest>() != BlockDigest(header_, index_, data, size)) {
      throw MakeError(ErrorCode::kCorrupt, "{}: the checksum of block {} is wrong, the file is damaged",
                      path_, index_);
    }
    ++index_;
    return data;
  }

 private:
  const std::string& path_;
  Reader& reader_;
  const Digest header_;
  size_t index_ = 0;
};

void ReadBlocks(const std::string& path, const Header& header, BlockReader& blocks, BlockPool& pool,
                SequenceCache& cache) {
  const auto no_room = [&] {
    return MakeError(ErrorCode::kExhausted, "{}: the KV budget of {} bytes has no room for {} tokens", path,
                     pool.BudgetBytes(), header.num_cached);
  };
  const BlockLayout& layout = pool.Layout();
  const auto read = [&](BlockKind kind, int index, std::span<const PagePlace> pages) {
    const uint8_t* data = blocks.Next(SlabBytes(layout, kind));
    CheckPages(path, pages, index, data);
    std::shared_ptr<Block> block = pool.TryAllocate(kind);
    if (block == nullptr) throw no_room();
    block->CopyFromHost(data);
    return block;
  };
  std::array<std::vector<PagePlace>, kSealedKinds.size()> places;
  for (const BlockKind kind : kPageKinds) places[static_cast<size_t>(kind)] = PagesOf(layout, kind);
  std::vector<SealedBlock> sealed;
  const int num_sealed = static_cast<int>(header.num_cached) / kPageTokens;
  for (int i = 0; i < num_sealed; ++i) {
    SealedBlock& block = sealed.emplace_back();
    for (const BlockKind kind : kPageKinds) {
      if (IsNeeded(layout, kind, i, num_sealed))
        block.Of(kind) = read(kind, i, places[static_cast<size_t>(kind)]);
    }
  }
  const int rest = static_cast<int>(header.num_cached % kPageTokens);
  std::shared_ptr<Block> rows = rest > 0 ? read(BlockKind::kOpen, num_sealed, {}) : nullptr;
  const bool has_state = layout.state_bytes > 0 && header.num_cached > 0;
  std::shared_ptr<Block> state = has_state ? read(BlockKind::kState, num_sealed, {}) : nullptr;
  if (rest > 0) return cache.TakeOpen(sealed, rest, std::move(rows), std::move(state));
  if (has_state) sealed.back().state = std::move(state);
  cache.Adopt(sealed);
}

}  // namespace

Digest FormatDigest(const BlockLayout& layout) {
  int largest = 0;
  for (const LayerShape& shape : layout.layers) largest = std::max({largest, shape.key_dim, shape.value_dim});
  std::vector<float> block(static_cast<size_t>(kPageTokens * largest));  // smaller codecs take the beginning
  CounterRng rng(0x70616765);
  for (float& x : block) x = static_cast<float>(rng.NextDouble() + rng.NextDouble() - 1.0);
  block[5] = 40.0f;  // an outlier
  std::map<std::pair<const Codec*, Part>, Digest> encodings;
  const auto encoding = [&](const Codec* codec, Part part) {
    Digest& digest = encodings[{codec, part}];
    if (digest != Digest()) return digest;
    const size_t bytes = codec->Bytes(part);
    std::vector<uint8_t> storage(bytes + 63);
    uint8_t* encoded = storage.data() + (64 - reinterpret_cast<uintptr_t>(storage.data()) % 64) % 64;
    codec->Encode(part, block.data(), encoded);
    return digest = Hasher().Add(codec->Name()).Bytes(encoded, bytes).Finish();
  };
  Hasher hasher;
  const auto add = [&](const Codec* codec, Part part, size_t offset) {
    if (codec != nullptr) hasher.Add(encoding(codec, part)).Add(static_cast<uint64_t>(offset));
  };
  for (const PageSpec& page : layout.pages) {
    add(page.keys, Part::kKeys, page.keys_offset);
    add(page.values, Part::kValues, page.values_offset);
    add(page.fine_keys, Part::kKeys, page.fine_keys_offset);
    add(page.fine_values, Part::kValues, page.fine_values_offset);
    add(page.open_keys, Part::kKeys, page.open_keys_offset);
    add(page.open_values, Part::kValues, page.open_values_offset);
  }
  for (const Reach& reach : layout.reaches) {
    hasher.Add(static_cast<uint64_t>(reach.window)).Add(static_cast<uint64_t>(reach.chunk));
  }
  for (const StateSpec& state : layout.states) hasher.Add(static_cast<uint64_t>(state.floats));
  return hasher.Finish();
}

void SavePages(const std::string& path, const PageSource& source, std::span<const int32_t> tokens,
               const SequenceCache& cache) {
  const BlockLayout& layout = cache.Layout();
  THRONG_CHECK(cache.ChunkTokens() == 0 && tokens.size() >= static_cast<size_t>(cache.NumTokens()) &&
               tokens.size() <= kMaxTokens);
  Header header = HeaderOf(source, layout);
  header.num_cached = static_cast<uint32_t>(cache.NumTokens());
  header.num_tokens = static_cast<uint32_t>(tokens.size());
  const std::string begin = Serialize(header, tokens);
  const Digest digest = DigestOf(begin);
  AtomicFile file(path);
  file.Write(begin.data(), begin.size());
  file.Write(&digest, sizeof(digest));
  size_t index = 0;
  std::vector<uint8_t> buffer;
  const auto write_block = [&](const Block& block) {
    const uint8_t* data = block.OnHost(buffer);
    const Digest of_block = BlockDigest(digest, index++, data, block.Bytes());
    file.Write(data, block.Bytes());
    file.Write(&of_block, sizeof(of_block));
  };
  const auto num_sealed = static_cast<int>(cache.SealedBlocks().size());
  for (int i = 0; i < num_sealed; ++i) {
    for (const BlockKind kind : kPageKinds) {
      if (!IsNeeded(layout, kind, i, num_sealed)) continue;
      const BlockRef& slab = cache.SealedBlocks()[static_cast<size_t>(i)].Of(kind);
      write_block(*slab);
    }
  }
  if (const Block* rows = cache.OpenRows()) write_block(*rows);
  if (const Block* state = cache.LastState()) write_block(*state);
  file.Commit();
}

SavedPages LoadPages(const std::string& path, const PageSource& source, BlockPool& pool) {
  const MappedFile file(path);
  const auto bytes = file.Bytes();
  Reader reader(path, bytes);
  CheckMagicAndVersion(path, reader, bytes.size());
  const Header header = ReadHeader(reader);
  if (header.num_tokens > kMaxTokens || header.num_cached > header.num_tokens) {
    throw MakeError(ErrorCode::kCorrupt, "{}: pages of {} of {} tokens, at most {} are allowed", path,
                    header.num_cached, header.num_tokens, kMaxTokens);
  }
  const auto token_bytes = reader.Take(header.num_tokens * sizeof(int32_t), "tokens");
  const Digest digest = DigestOf({reinterpret_cast<const char*>(bytes.data()), reader.At()});
  if (reader.Get<Digest>() != digest) {
    throw MakeError(ErrorCode::kCorrupt, "{}: the checksum of the header is wrong, the file is damaged",
                    path);
  }
  CheckSame(path, header, HeaderOf(source, pool.Layout()));

  SavedPages saved{std::vector<int32_t>(header.num_tokens), SequenceCache(pool)};
  if (header.num_tokens > 0) std::memcpy(saved.tokens.data(), token_bytes.data(), token_bytes.size());
  BlockReader blocks(path, reader, digest);
  ReadBlocks(path, header, blocks, pool, saved.cache);
  if (reader.Left() > 0) {
    throw MakeError(ErrorCode::kCorrupt, "{}: {} bytes follow the last block", path, reader.Left());
  }
  return saved;
}

}  // namespace throng::kv
