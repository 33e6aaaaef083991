#include "town/import/tiled_layers.h"

#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "base/text/base64.h"

namespace throng::town {
namespace {

constexpr int32_t kMinSide = 8;
constexpr int32_t kMaxSide = 1000;
constexpr int32_t kFarthest = 1000000;  // of chunks from tile (0, 0)

TiledArea AreaOfChunk(const JsonView& chunk) {
  return {.x = static_cast<int32_t>(chunk.At("x").Int(-kFarthest, kFarthest)),
          .y = static_cast<int32_t>(chunk.At("y").Int(-kFarthest, kFarthest)),
          .width = static_cast<int32_t>(chunk.At("width").Int(1, kMaxSide)),
          .height = static_cast<int32_t>(chunk.At("height").Int(1, kMaxSide))};
}

std::vector<JsonView> ChunksOf(const JsonView& layer) { return layer.At("chunks").Items(0, 100000); }

// The smallest area with both in it; one without a width has nothing in it.
TiledArea Around(const TiledArea& a, const TiledArea& b) {
  if (a.width == 0) return b;
  const int32_t x = std::min(a.x, b.x);
  const int32_t y = std::min(a.y, b.y);
  return {.x = x,
          .y = y,
          .width = std::max(a.x + a.width, b.x + b.width) - x,
          .height = std::max(a.y + a.height, b.y + b.height) - y};
}

// `area` and the chunks of all layers of a map or group.
TiledArea AroundChunks(const JsonView& parent, TiledArea area) {
  for (const JsonView& layer : parent.At("layers").Items(0, 1000)) {
    const std::string type = layer.At("type").Text(0, 100);
    if (type == "group") area = AroundChunks(layer, area);
    if (type != "tilelayer") continue;
    for (const JsonView& chunk : ChunksOf(layer)) area = Around(area, AreaOfChunk(chunk));
  }
  return area;
}

// Of zlib's or gzip's form, which their headers tell apart. At most max_bytes + 1 bytes come out, and nothing
// if what is packed is damaged.
std::optional<std::string> Inflate(std::string_view packed, size_t max_bytes) {
  z_stream stream{};
  constexpr int kAnyHeader = 15 + 32;
  if (inflateInit2(&stream, kAnyHeader) != Z_OK) throw std::bad_alloc();
  std::string bytes(max_bytes + 1, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  const int result = inflate(&stream, Z_FINISH);
  bytes.resize(stream.total_out);
  const bool whole = result == Z_STREAM_END && stream.avail_in == 0;
  inflateEnd(&stream);
  if (!whole && bytes.size() <= max_bytes) return std::nullopt;
  return bytes;
}

// The same of zstd's form.
std::optional<std::string> DecompressZstd(std::string_view packed, size_t max_bytes) {
  std::string bytes(max_bytes + 1, '\0');
  const size_t result = ZSTD_decompress(bytes.data(), bytes.size(), packed.data(), packed.size());
  if (ZSTD_getErrorCode(result) == ZSTD_error_dstSize_tooSmall) return bytes;
  if (ZSTD_isError(result)) return std::nullopt;
  bytes.resize(result);
  return bytes;
}

// The numbers in a text, 32 bits each, little-endian.
std::vector<uint32_t> Unpack(const JsonView& data, const std::string& compression, const TiledArea& area) {
  static_assert(std::endian::native == std::endian::little);
  const size_t allowed = area.NumTiles() * sizeof(uint32_t);
  if (!data.Raw().is_string()) {
    data.Fail("a text in base64");
    return {};
  }
  std::optional<std::string> bytes = DecodeBase64(data.Raw().get_ref<const std::string&>());
  if (!bytes) {
    data.Fail("base64");
    return {};
  }
  if (compression == "zstd") {
    bytes = DecompressZstd(*bytes, allowed);
  } else if (!compression.empty()) {
    bytes = Inflate(*bytes, allowed);
  }
  if (!bytes) {
    data.Note(fmt::format("found damaged {} data, allowed: what unpacks to {} bytes", compression, allowed));
    return {};
  }
  if (bytes->size() != allowed) {
    const bool cut = !compression.empty() && bytes->size() > allowed;
    data.Note(fmt::format("found {} bytes, allowed: {} for {} x {} tiles",
                          cut ? fmt::format("more than {}", allowed) : fmt::format("{}", bytes->size()),
                          allowed, area.width, area.height));
    return {};
  }
  std::vector<uint32_t> tiles(area.NumTiles());
  std::memcpy(tiles.data(), bytes->data(), allowed);
  return tiles;
}

// How a layer, and each of its chunks, is written.
struct Form {
  bool base64 = false;
  std::string compression;  // empty: none
};

std::optional<Form> FormOf(const JsonView& layer) {
  Form form;
  if (const std::optional<JsonView> encoding = layer.Find("encoding")) {
    const std::string name = encoding->Text(0, 100);
    form.base64 = name == "base64";
    if (!form.base64 && name != "csv") {
      encoding->Fail("\"csv\" or \"base64\"");
      return std::nullopt;
    }
  }
  if (const std::optional<JsonView> compression = layer.Find("compression")) {
    form.compression = compression->Text(0, 100);
    constexpr std::string_view kKnown[] = {"", "zlib", "gzip", "zstd"};
    if (std::find(std::begin(kKnown), std::end(kKnown), form.compression) == std::end(kKnown)) {
      compression->Fail("none, \"zlib\", \"gzip\" or \"zstd\" (Map > Map Properties > Tile Layer Format)");
      return std::nullopt;
    }
  }
  return form;
}

// `parent`: a layer or a chunk, which covers `area`.
std::vector<uint32_t> DataOf(const JsonView& parent, const Form& form, const TiledArea& area) {
  const JsonView data = parent.At("data");
  if (form.base64) return Unpack(data, form.compression, area);
  std::vector<uint32_t> tiles;
  tiles.reserve(area.NumTiles());
  for (const JsonView& tile : data.Items(area.NumTiles(), area.NumTiles())) {
    tiles.push_back(static_cast<uint32_t>(tile.Int(0, 0xFFFFFFFF)));
  }
  return tiles;
}

}  // namespace

TiledArea AreaOf(const JsonView& map) {
  const std::optional<JsonView> infinite = map.Find("infinite");
  if (!infinite || !infinite->Bool()) {
    return {.width = static_cast<int32_t>(map.At("width").Int(kMinSide, kMaxSide)),
            .height = static_cast<int32_t>(map.At("height").Int(kMinSide, kMaxSide))};
  }
  TiledArea area = AroundChunks(map, {});
  area.in_chunks = true;
  const auto [least, most] = std::minmax(area.width, area.height);
  if (least < kMinSide || most > kMaxSide) {
    map.At("layers").Note(fmt::format("found chunks on {} x {} tiles, allowed: {} to {} each way", area.width,
                                      area.height, kMinSide, kMaxSide));
  }
  return area;
}

std::vector<uint32_t> TilesOf(const JsonView& layer, const TiledArea& area) {
  const std::optional<Form> form = FormOf(layer);
  if (!form) return {};
  if (!area.in_chunks) return DataOf(layer, *form, area);
  std::vector<uint32_t> tiles(area.NumTiles());
  // Each tile is filled once, so that a small file cannot unpack to more than its map.
  std::vector<bool> filled(area.NumTiles());
  for (const JsonView& chunk : ChunksOf(layer)) {
    const TiledArea part = AreaOfChunk(chunk);
    const std::vector<uint32_t> numbers = DataOf(chunk, *form, part);
    if (numbers.empty()) return {};
    for (size_t i = 0; i < numbers.size(); ++i) {
      const size_t row = i / part.width + (part.y - area.y);
      const size_t tile = row * area.width + i % part.width + (part.x - area.x);
      if (filled[tile]) {
        chunk.Note("found a chunk on tiles of an earlier one, allowed: each tile once");
        return {};
      }
      filled[tile] = true;
      tiles[tile] = numbers[i];
    }
  }
  return tiles;
}

}  // namespace throng::town
