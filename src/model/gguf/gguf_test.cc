#include "model/gguf/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/rng.h"
#include "model/gguf/gguf_writer.h"

namespace throng::model {
namespace {

std::vector<uint8_t> SmallFile() {
  GgufWriter writer;
  writer.Add("general.architecture", "llama");
  writer.Add("u32", uint32_t{7});
  writer.Add("i32", int32_t{-7});
  writer.Add("u64", uint64_t{1} << 63);
  writer.Add("f32", 1.5f);
  writer.Add("yes", true);
  const std::vector<std::string> words = {"a", "", "ccc"};
  writer.Add("words", std::span<const std::string>(words));
  const std::vector<float> floats = {0.5f, -2.0f};
  writer.Add("floats", std::span<const float>(floats));
  const std::vector<int32_t> ints = {1, -2, 3};
  writer.Add("ints", std::span<const int32_t>(ints));
  const std::vector<uint8_t> data(3 * 2 * 4, 1);
  const std::vector<uint64_t> dims = {3, 2};
  writer.AddTensor("first", TensorType::kF32, dims, data);
  const std::vector<uint8_t> blocks(2 * 34, 2);
  const std::vector<uint64_t> block_dims = {64};
  writer.AddTensor("second", TensorType::kQ8_0, block_dims, blocks);
  return writer.Finish();
}

ErrorCode CodeOf(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    EXPECT_LT(std::string(error.what()).size(), 400u);
    return error.Code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::kIo;
}

TEST(Gguf, ReadsEveryKindOfValue) {
  const auto bytes = SmallFile();
  const GgufFile file(bytes, "small");
  EXPECT_EQ(file.String("general.architecture"), "llama");
  EXPECT_EQ(file.Uint("u32"), 7u);
  EXPECT_EQ(file.Int("i32"), -7);
  EXPECT_EQ(file.Uint("u64"), uint64_t{1} << 63);
  EXPECT_EQ(file.Float("f32"), 1.5);
  EXPECT_EQ(file.Float("u32"), 7.0);
  EXPECT_TRUE(file.Bool("yes"));
  EXPECT_THAT(file.Strings("words"), testing::ElementsAre("a", "", "ccc"));
  EXPECT_THAT(file.Floats("floats"), testing::ElementsAre(0.5f, -2.0f));
  EXPECT_THAT(file.Ints("ints"), testing::ElementsAre(1, -2, 3));
  EXPECT_EQ(file.UintOr("absent", 4), 4u);
  EXPECT_EQ(file.StringOr("absent", "x"), "x");
  EXPECT_TRUE(file.IsArray("ints"));
  EXPECT_FALSE(file.IsArray("u32"));
  EXPECT_EQ(file.Keys().size(), 9u);
}

TEST(Gguf, AFileOfCopiedPartsHasTheSameBytes) {
  const auto bytes = SmallFile();
  const GgufFile file(bytes, "small");
  GgufWriter copy;
  for (const std::string_view key : file.Keys()) copy.Copy(key, file);
  for (const TensorInfo& tensor : file.Tensors()) {
    const auto dims = std::span(tensor.dims).first(static_cast<size_t>(tensor.num_dims));
    copy.AddTensor(tensor.name, tensor.type, dims, tensor.data);
  }
  EXPECT_EQ(copy.Finish(), bytes);
  EXPECT_EQ(CodeOf([&] { copy.Copy("absent", file); }), ErrorCode::kCorrupt);
}

TEST(Gguf, PlacesTensors) {
  const auto bytes = SmallFile();
  const GgufFile file(bytes, "small");
  const TensorInfo* first = file.FindTensor("first");
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->Shape(), "[3, 2]");
  EXPECT_EQ(first->data.size(), 24u);
  EXPECT_EQ(first->data[23], 1);
  const TensorInfo* second = file.FindTensor("second");
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->data.size(), 68u);
  EXPECT_EQ(second->data[0], 2);
  EXPECT_EQ(file.FindTensor("third"), nullptr);
}

TEST(Gguf, WrongKindsAreErrorsThatNameTheKey) {
  const auto bytes = SmallFile();
  const GgufFile file(bytes, "small");
  EXPECT_EQ(CodeOf([&] { file.Uint("absent"); }), ErrorCode::kCorrupt);
  EXPECT_EQ(CodeOf([&] { file.Uint("i32"); }), ErrorCode::kCorrupt);
  EXPECT_EQ(CodeOf([&] { file.Int("u64"); }), ErrorCode::kCorrupt);
  EXPECT_EQ(CodeOf([&] { file.Uint("f32"); }), ErrorCode::kCorrupt);
  EXPECT_EQ(CodeOf([&] { file.Bool("u32"); }), ErrorCode::kCorrupt);
  EXPECT_EQ(CodeOf([&] { file.UintOr("ints", 1); }), ErrorCode::kCorrupt);
  EXPECT_EQ(CodeOf([&] { file.Strings("ints"); }), ErrorCode::kCorrupt);
  EXPECT_EQ(CodeOf([&] { file.Floats("u32"); }), ErrorCode::kCorrupt);
  try {
    file.Strings("ints");
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "small: key 'ints' is an array of int32; an array of strings is expected");
  }
}

TEST(Gguf, EveryTruncationIsCorrupt) {
  const auto bytes = SmallFile();
  const size_t used = bytes.size() - (32 - 68 % 32);  // without the padding after the last tensor
  for (size_t size = 0; size < used; ++size) {
    const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(CodeOf([&] { GgufFile(cut, "cut"); }), ErrorCode::kCorrupt) << size;
  }
  const std::vector<uint8_t> whole(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(used));
  EXPECT_NO_THROW(GgufFile(whole, "whole"));
}

// Reads everything in a file, as its users do.
void ReadAll(const GgufFile& file) {
  uint64_t sum = 0;
  for (const auto key : file.Keys()) {
    const auto attempt = [&](auto get) {
      try {
        get();
      } catch (const Error& error) {
        EXPECT_EQ(error.Code(), ErrorCode::kCorrupt);
      }
    };
    attempt([&] { sum += file.Uint(key); });
    attempt([&] { sum += file.String(key).size(); });
    attempt([&] { sum += file.Strings(key).size(); });
    attempt([&] { sum += file.Ints(key).size(); });
    attempt([&] { sum += file.Floats(key).size(); });
  }
  for (const auto& tensor : file.Tensors()) {
    for (const uint8_t byte : tensor.data) sum += byte;
  }
  EXPECT_NE(sum, 1u);
}

TEST(Gguf, CorruptionIsAnErrorOrAnotherSoundFile) {
  const auto bytes = SmallFile();
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    CounterRng rng(seed);
    std::vector<uint8_t> damaged = bytes;
    const uint64_t changes = 1 + rng.NextBelow(4);
    for (uint64_t i = 0; i < changes; ++i) {
      static constexpr uint8_t kNasty[] = {0, 1, 0x7f, 0x80, 0xff};
      const uint64_t where = rng.NextBelow(damaged.size());
      damaged[where] = rng.NextBelow(2) ? kNasty[rng.NextBelow(5)] : static_cast<uint8_t>(rng.Next());
    }
    try {
      const GgufFile file(damaged, "damaged");
      ReadAll(file);
    } catch (const Error& error) {
      EXPECT_EQ(error.Code(), ErrorCode::kCorrupt) << error.what();
    }
  }
}

TEST(Gguf, ReadsTheConformanceModels) {
  const std::filesystem::path folder = std::filesystem::path(THRONG_SHARED_DIR) / "models";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is missing";
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".gguf") continue;
    const GgufFile file(entry.path().string());
    EXPECT_FALSE(file.Tensors().empty());
    for (const auto& tensor : file.Tensors()) EXPECT_FALSE(tensor.data.empty()) << tensor.name;
    ++count;
  }
  EXPECT_GT(count, 0);
}

}  // namespace
}  // namespace throng::model
