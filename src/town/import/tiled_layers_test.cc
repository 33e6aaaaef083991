// One map in all the forms that Tiled writes it in.

#include "town/import/tiled_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/rng.h"
#include "base/text/base64.h"
#include "town/import/tiled.h"

namespace throng::town {
namespace {

using testing::HasSubstr;

constexpr int kZlib = 15;       // a window of 15 bits
constexpr int kGzip = 15 + 16;  // and gzip's header

std::string Deflate(const std::string& bytes, int window) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

std::string Zstd(const std::string& bytes) {
  std::string packed(ZSTD_compressBound(bytes.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), bytes.data(), bytes.size(), 3));
  return packed;
}

std::string BytesOf(const Json& data) {
  const auto tiles = data.get<std::vector<uint32_t>>();
  return {reinterpret_cast<const char*>(tiles.data()), tiles.size() * sizeof(uint32_t)};
}

std::string Packed(const std::string& bytes, const std::string& compression) {
  if (compression.empty()) return EncodeBase64(bytes);
  if (compression == "zstd") return EncodeBase64(Zstd(bytes));
  return EncodeBase64(Deflate(bytes, compression == "gzip" ? kGzip : kZlib));
}

void SetBase64(Json& layer, const std::string& compression) {
  for (Json& group_layer : layer["layers"]) SetBase64(group_layer, compression);
  if (layer["type"] != "tilelayer") return;
  layer["encoding"] = "base64";
  layer["compression"] = compression;
  if (layer.contains("data")) layer["data"] = Packed(BytesOf(layer["data"]), compression);
  if (!layer.contains("chunks")) return;
  for (Json& chunk : layer["chunks"]) chunk["data"] = Packed(BytesOf(chunk["data"]), compression);
}

// Cuts a layer of 20 x 16 tiles into chunks of 4 x 4, without those that are empty, and puts tile (0, 0) at
// (x, y).
void CutIntoChunks(Json& layer, int x, int y) {
  for (Json& group_layer : layer["layers"]) CutIntoChunks(group_layer, x, y);
  if (layer["type"] == "objectgroup") {
    for (Json& object : layer["objects"]) {
      object["x"] = object["x"].get<int>() + 16 * x;
      object["y"] = object["y"].get<int>() + 16 * y;
    }
  }
  if (layer["type"] != "tilelayer") return;
  Json chunks = Json::array();
  for (int i = 0; i < 20; ++i) {
    const int left = i % 5 * 4;
    const int top = i / 5 * 4;
    Json data = Json::array();
    for (int tile = 0; tile < 16; ++tile)
      data.push_back(layer["data"][(top + tile / 4) * 20 + left + tile % 4]);
    if (data == Json(std::vector<int>(16))) continue;
    chunks.push_back({{"x", x + left}, {"y", y + top}, {"width", 4}, {"height", 4}, {"data", data}});
  }
  layer.erase("data");
  layer["chunks"] = chunks;
}

class TiledLayers : public testing::Test {
 protected:
  // Layers 0, 1.0 and 1.1 are of tiles.
  Json map_ = Json::parse(ReadFile(std::string(THRONG_SOURCE_DIR) + "/tests/import/garden.tmj"));
  Json& ground_ = map_["layers"][0];
  const std::string bytes_ = BytesOf(ground_["data"]);  // of 20 x 16 tiles

  void MakeInfinite(int x, int y) {
    map_["infinite"] = true;
    for (Json& layer : map_["layers"]) CutIntoChunks(layer, x, y);
  }
  std::string Error() const {
    try {
      ImportReport report;
      ReadTiled(map_, "garden.tmj", report);
    } catch (const throng::Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return error.what();
    }
    return "no error";
  }
};

void ExpectSame(const Json& map, const Json& expected_map) {
  ImportReport report;
  ImportReport expected_report;
  const DraftGround ground = ReadTiled(map, "map", report);
  const DraftGround expected = ReadTiled(expected_map, "expected", expected_report);
  EXPECT_EQ(ground.width, expected.width);
  EXPECT_EQ(ground.height, expected.height);
  EXPECT_EQ(ground.solid, expected.solid);
  EXPECT_EQ(report.Dropped(), expected_report.Dropped());
  ASSERT_EQ(ground.regions.size(), expected.regions.size());
  for (size_t i = 0; i < ground.regions.size(); ++i) {
    EXPECT_EQ(ground.regions[i].tiles, expected.regions[i].tiles);
    EXPECT_EQ(ground.regions[i].spots, expected.regions[i].spots);
  }
}

TEST_F(TiledLayers, AreTheSameInAllEncodings) {
  for (const char* compression : {"", "zlib", "gzip", "zstd"}) {
    SCOPED_TRACE(compression);
    Json map = map_;
    for (Json& layer : map["layers"]) SetBase64(layer, compression);
    ExpectSame(map, map_);
  }
}

TEST_F(TiledLayers, AreTheSameInChunks) {
  const Json whole = map_;
  for (const auto& [x, y] : {std::pair(0, 0), std::pair(-12, -8), std::pair(1000, -900000)}) {
    for (const char* compression : {"csv", "", "zlib", "gzip", "zstd"}) {
      SCOPED_TRACE(fmt::format("({}, {}) {}", x, y, compression));
      map_ = whole;
      MakeInfinite(x, y);
      if (compression != std::string("csv")) {
        for (Json& layer : map_["layers"]) SetBase64(layer, compression);
      }
      ExpectSame(map_, whole);
    }
  }
}

TEST_F(TiledLayers, OfTheWrongLengthAreRefused) {
  for (const char* compression : {"", "zlib", "gzip", "zstd"}) {
    SetBase64(ground_, "");
    ground_["compression"] = compression;
    ground_["data"] = Packed(bytes_.substr(4), compression);
    EXPECT_EQ(Error(), "garden.tmj: layers[0].data: found 1276 bytes, allowed: 1280 for 20 x 16 tiles");
    ground_["data"] = "";
    EXPECT_THAT(Error(), HasSubstr("garden.tmj: layers[0].data: found ")) << compression;
    ground_["data"] = Packed(bytes_ + std::string(10'000'000, '\0'), compression);
    EXPECT_THAT(Error(),
                HasSubstr(*compression == '\0' ? "found 10001280 bytes" : "found more than 1280 bytes"));
    ground_["data"] = Json::parse("[1, 2]");
    EXPECT_THAT(Error(), HasSubstr("layers[0].data: found [1,2], allowed: a text in base64"));
    ground_["data"] = Json(std::vector<int>(320, 1));
  }
}

TEST_F(TiledLayers, ThatAreDamagedAreRefused) {
  SetBase64(ground_, "zlib");
  const std::string whole = ground_["data"];
  ground_["data"] = "*" + whole.substr(1);
  EXPECT_THAT(Error(), HasSubstr("layers[0].data: found \"*"));
  const std::string packed = Deflate(bytes_, kZlib);
  const std::string message = "layers[0].data: found damaged zlib data, allowed: what unpacks to 1280 bytes";
  for (size_t i = 0; i < packed.size(); ++i) {  // its checksum finds every change
    std::string damaged = packed;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    ground_["data"] = EncodeBase64(damaged);
    EXPECT_THAT(Error(), testing::AnyOf(HasSubstr(message), HasSubstr("found more than 1280 bytes"))) << i;
  }
  ground_["data"] = EncodeBase64(packed.substr(0, packed.size() - 1));
  EXPECT_THAT(Error(), HasSubstr(message));
  ground_["data"] = EncodeBase64(packed + "x");
  EXPECT_THAT(Error(), HasSubstr(message));
  ground_["compression"] = "zstd";
  const std::string zstd = Zstd(bytes_);
  for (const std::string& damaged :
       {packed, std::string("x"), zstd.substr(1), zstd.substr(0, zstd.size() - 1), zstd + "x"}) {
    ground_["data"] = EncodeBase64(damaged);
    EXPECT_EQ(Error(),
              "garden.tmj: layers[0].data: found damaged zstd data, allowed: what unpacks to 1280 bytes");
  }
  ground_["compression"] = "lzma";
  EXPECT_THAT(Error(),
              HasSubstr("layers[0].compression: found \"lzma\", allowed: none, \"zlib\", \"gzip\" or"));
}

TEST_F(TiledLayers, WhoseChunksDoNotFitAreRefused) {
  MakeInfinite(0, 0);
  const Json whole = map_;
  Json& chunk = ground_["chunks"][7];
  chunk["x"] = 900000;
  EXPECT_THAT(Error(), HasSubstr("layers: found chunks on 900004 x 16 tiles, allowed: 8 to 1000 each way"));
  chunk["x"] = int64_t{1} << 40;
  EXPECT_THAT(Error(),
              HasSubstr("layers[0].chunks[7].x: found 1099511627776, allowed: a whole number from -1000000"));
  chunk["x"] = 0;
  chunk["width"] = 100000000;
  EXPECT_THAT(Error(),
              HasSubstr("layers[0].chunks[7].width: found 100000000, allowed: a whole number from 1"));
  chunk["width"] = 5;
  EXPECT_THAT(Error(), HasSubstr("layers[0].chunks[7].data: found [1,1,"));
  chunk["width"] = 4;
  EXPECT_THAT(Error(), HasSubstr("layers[0].chunks[7]: found a chunk on tiles of an earlier one"));
  for (const int layer : {0, 1}) map_["layers"][layer] = map_["layers"][2];
  EXPECT_THAT(Error(), HasSubstr("layers: found chunks on 0 x 0 tiles"));
}

TEST_F(TiledLayers, WithAnyByteChangedAreRefusedOrRead) {
  MakeInfinite(-8, 4);
  for (Json& layer : map_["layers"]) SetBase64(layer, "gzip");
  const std::string whole = map_.dump();
  CounterRng rng(7);
  for (int i = 0; i < 300; ++i) {
    std::string damaged = whole;
    damaged[rng.NextBelow(whole.size())] = static_cast<char>(' ' + rng.NextBelow(95));
    const Json map = Json::parse(damaged, nullptr, false);
    if (!IsTiled(map)) continue;
    try {
      ImportReport report;
      const DraftGround ground = ReadTiled(map, "map", report);
      EXPECT_EQ(ground.solid.size(), static_cast<size_t>(ground.width) * ground.height);
    } catch (const throng::Error&) {
    }
  }
}

}  // namespace
}  // namespace throng::town
