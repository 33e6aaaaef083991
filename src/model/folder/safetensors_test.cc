#include "model/folder/safetensors.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "model/folder/json_file.h"
#include "model/testing/tiny_folder.h"

namespace throng::model {
namespace {

using Json = nlohmann::json;

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

Json Entry(const char* dtype, Json shape, Json offsets) {
  return {{"dtype", dtype}, {"shape", std::move(shape)}, {"data_offsets", std::move(offsets)}};
}

// What a file with this header and 16 bytes of data is refused with.
std::string Refusal(const std::string& header) {
  try {
    ReadSafetensors(Bytes(TinyFolder::File(header, std::string(16, 'x'))), "f");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Safetensors, ReadsTensorsInTheOrderOfTheirBytes) {
  const Json header = {{"b", Entry("F32", {2, 1}, {0, 8})},
                       {"a", Entry("BF16", {4}, {8, 16})},
                       {"__metadata__", {{"format", "pt"}}}};
  const std::string file = TinyFolder::File(header.dump(), "0123456789abcdef");
  const std::vector<StoredTensor> tensors = ReadSafetensors(Bytes(file), "f");
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(tensors[0].name, "b");
  EXPECT_EQ(tensors[0].Shape(), "[2, 1]");
  EXPECT_EQ(tensors[1].dtype, "BF16");
  EXPECT_EQ(tensors[1].data[0], '8');
}

TEST(Safetensors, RefusesWhatIsNotSound) {
  const auto one = [](Json entry) { return Refusal(Json{{"t", std::move(entry)}}.dump()); };
  EXPECT_EQ(one(Entry("F32", {4}, {0, 16})), "");
  EXPECT_EQ(
      one(Entry("F32", {4}, {0, 17})),
      "f: tensor 't' has data_offsets [0, 17]; a begin and an end within the 16 bytes of data are expected");
  EXPECT_EQ(
      one(Entry("F32", {4}, {8, 4})),
      "f: tensor 't' has data_offsets [8, 4]; a begin and an end within the 16 bytes of data are expected");
  EXPECT_EQ(one(Entry("F32", {3}, {0, 16})), "f: tensor 't' has 16 bytes; F32 of shape [3] have 12");
  EXPECT_EQ(one(Entry("F32", {1ull << 62, 4}, {0, 16})),
            "f: tensor 't' has shape [4611686018427387904, 4]; the file has 16 bytes of data");
  EXPECT_EQ(one(Entry("F32", {0}, {0, 0})), "f: tensor 't' has shape [0]; the file has 16 bytes of data");
  EXPECT_EQ(one(Entry("F33", {4}, {0, 16})), "f: tensor 't' has the type 'F33', which is unknown");
  EXPECT_EQ(one(Entry("F32", {-4}, {0, 16})),
            "f: tensor 't' has a shape or offsets that are no whole numbers");
  EXPECT_EQ(one(Entry("F32", 4, {0, 16})), "f: tensor 't' has a shape or offsets that are no short list");
  EXPECT_EQ(one({{"dtype", "F32"}}), "f: tensor 't' lacks one of dtype, shape and data_offsets");
  EXPECT_EQ(one(Entry("F32", {2}, {8, 16})),
            "f: tensor 't' begins at byte 8 of the data; the one before ends at 0");
  EXPECT_EQ(one(Entry("F32", {2}, {0, 8})), "f: 8 bytes of data belong to no tensor");
  const Json overlapping = {{"a", Entry("F32", {4}, {0, 16})}, {"b", Entry("F32", {2}, {8, 16})}};
  EXPECT_EQ(Refusal(overlapping.dump()),
            "f: tensor 'b' begins at byte 8 of the data; the one before ends at 16");
}

TEST(Safetensors, RefusesHeadersThatAreNone) {
  EXPECT_NE(Refusal("[1]").find("is no JSON object"), std::string::npos);
  EXPECT_NE(Refusal("{").find("is not JSON"), std::string::npos);
  EXPECT_NE(Refusal(R"({"a": {}, "a": {}})").find("occurs twice"), std::string::npos);
  EXPECT_NE(Refusal(std::string(1 << 20, '[')).find("nested deeper than 3"), std::string::npos);
  std::string file = TinyFolder::File("{}", "");
  for (const size_t size : {size_t{0}, size_t{7}, size_t{8}, file.size() - 1}) {
    EXPECT_THROW(ReadSafetensors(Bytes(file).first(size), "f"), Error) << size;
  }
  file[6] = 1;  // 2^48 bytes
  EXPECT_THROW(ReadSafetensors(Bytes(file), "f"), Error);
}

}  // namespace
}  // namespace throng::model
