#include "model/gguf/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

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

std::string MessageOf(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Gguf, OtherVersionsAndByteOrdersAreNamed) {
  auto bytes = SmallFile();
  const auto message = [&](std::array<uint8_t, 4> version) {
    std::ranges::copy(version, bytes.begin() + 4);
    return MessageOf([&] { GgufFile(bytes, "other"); });
  };
  EXPECT_EQ(message({2, 0, 0, 0}), "");
  EXPECT_EQ(message({1, 0, 0, 0}), "other: has GGUF version 1; 2 and 3 can be read");
  EXPECT_EQ(message({4, 0, 0, 0}), "other: has GGUF version 4; 2 and 3 can be read");
  EXPECT_EQ(message({0, 0, 0, 3}), "other: is a big-endian GGUF file; little-endian ones can be read");
}

TEST(Gguf, TypesHaveNames) {
  EXPECT_EQ(TensorTypeName(TensorType::kIQ2_XXS), "IQ2_XXS");
  EXPECT_EQ(TensorTypeName(static_cast<TensorType>(31)), "type 31");
  EXPECT_FALSE(BlockSizeOf(static_cast<TensorType>(31)));
  const std::string names = TensorTypeNames();
  EXPECT_TRUE(names.starts_with("F32, F16, BF16, ")) << names;
  EXPECT_TRUE(names.ends_with("Q2_0 and Q1_0")) << names;
}

// A model in two parts, in a folder of its own.
class GgufParts : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  struct Part {
    uint32_t number, count = 2, tensors = 2;
    std::string tensor;
    std::string name{};  // of the model
  };
  static std::vector<uint8_t> Bytes(const Part& part) {
    GgufWriter writer;
    if (part.number == 0) writer.Add("general.architecture", "llama");
    if (!part.name.empty()) writer.Add("general.name", part.name);
    writer.Add("split.no", part.number);
    writer.Add("split.count", part.count);
    writer.Add("split.tensors.count", part.tensors);
    const std::vector<uint8_t> data(12, static_cast<uint8_t>(part.number + 1));
    writer.AddTensor(part.tensor, TensorType::kF32, std::vector<uint64_t>{3}, data);
    return writer.Finish();
  }
  std::string Write(const std::string& name, const Part& part) const {
    const std::string path = (folder_ / name).string();
    const auto bytes = Bytes(part);
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return path;
  }
  // The message that opening the first part gives, without the folder.
  std::string Message(const std::string& path) const {
    std::string message = MessageOf([&] { GgufFile{path}; });
    const std::string folder = folder_.string() + "/";
    for (size_t at; (at = message.find(folder)) != std::string::npos;) message.erase(at, folder.size());
    return message;
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) /
      (std::string("parts-") + testing::UnitTest::GetInstance()->current_test_info()->name());
  static constexpr const char* kFirst = "m-00001-of-00002.gguf";
  static constexpr const char* kSecond = "m-00002-of-00002.gguf";
};

TEST_F(GgufParts, AnyOfThemBringsAll) {
  const std::string first = Write(kFirst, {.number = 0, .tensor = "a"});
  const std::string second = Write(kSecond, {.number = 1, .tensor = "b"});
  for (const std::string& path : {first, second}) {
    const GgufFile file(path);
    EXPECT_EQ(file.Name(), first);
    EXPECT_EQ(file.String("general.architecture"), "llama");
    ASSERT_EQ(file.Tensors().size(), 2u);
    EXPECT_EQ(file.Tensors()[0].name, "a");
    ASSERT_NE(file.FindTensor("b"), nullptr);
    EXPECT_EQ(file.FindTensor("a")->data[0], 1);
    EXPECT_EQ(file.FindTensor("b")->data[11], 2);
  }
}

TEST_F(GgufParts, WhatDoesNotFitIsOneSentence) {
  const std::string first = Write(kFirst, {.number = 0, .tensor = "a"});
  EXPECT_EQ(Message(first),
            "m-00001-of-00002.gguf: is one of several parts of a model, and another is missing: "
            "m-00002-of-00002.gguf: cannot open: No such file or directory");
  Write(kSecond, {.number = 1, .count = 3, .tensor = "b"});
  EXPECT_EQ(Message(first),
            "m-00002-of-00002.gguf: split.no is 1 and split.count 3, where 1 and 2 are expected by its name");
  Write(kSecond, {.number = 0, .tensor = "b"});
  EXPECT_EQ(Message(first),
            "m-00002-of-00002.gguf: split.no is 0 and split.count 2, where 1 and 2 are expected by its name");
  Write(kSecond, {.number = 1, .tensors = 3, .tensor = "b"});
  EXPECT_EQ(Message(first),
            "m-00002-of-00002.gguf: is part of another model than m-00001-of-00002.gguf: key "
            "'split.tensors.count' differs");
  Write(kSecond, {.number = 1, .tensor = "a"});
  EXPECT_EQ(Message(first), "m-00002-of-00002.gguf: tensor 'a' is in an earlier part too");
  Write(kFirst, {.number = 0, .tensors = 3, .tensor = "a"});
  Write(kSecond, {.number = 1, .tensors = 3, .tensor = "b"});
  EXPECT_EQ(Message(first), "m-00001-of-00002.gguf: the 2 parts have 2 tensors; split.tensors.count says 3");
  Write(kFirst, {.number = 0, .tensor = "a", .name = "one"});
  Write(kSecond, {.number = 1, .tensor = "b", .name = "two"});
  EXPECT_EQ(Message(first),
            "m-00002-of-00002.gguf: is part of another model than m-00001-of-00002.gguf: key 'general.name' "
            "differs");
  const std::string renamed = Write("m.gguf", {.number = 0, .tensor = "a"});
  EXPECT_EQ(
      Message(renamed),
      "m.gguf: is part 1 of 2 of a model, but its name does not end with '-00001-of-00002.gguf', so that "
      "the others cannot be found");
  const std::string beyond = Write("m-00003-of-00002.gguf", {.number = 2, .tensor = "a"});
  EXPECT_EQ(Message(beyond),
            "m-00003-of-00002.gguf: split.no is 2 and split.count 2; 0 to 1 and up to 99999 are allowed");
}

TEST_F(GgufParts, BytesAreNoPart) {
  const auto bytes = Bytes({.number = 0, .tensor = "a"});
  EXPECT_EQ(MessageOf([&] { GgufFile(bytes, "bytes"); }),
            "bytes: is one of several parts of a model, which must be files");
}

TEST(Gguf, HeadersNeedNoData) {
  GgufWriter writer;
  const std::vector<uint8_t> data(64, 7);
  for (const char* name : {"a", "b"}) {
    writer.AddTensor(name, TensorType::kF32, std::vector<uint64_t>{16}, data);
  }
  const std::vector<uint8_t> whole = writer.Finish();
  for (const size_t missing : {0, 10, 64, 70, 128}) {
    const auto bytes = std::span(whole).first(whole.size() - missing);
    const GgufFile file(bytes, "header", GgufUse::kHeader);
    EXPECT_EQ(file.MissingBytes(), missing);
    EXPECT_EQ(file.FindTensor("b")->bytes, 64u);
    EXPECT_TRUE(file.FindTensor("a")->data.empty());
    EXPECT_EQ(MessageOf([&] { GgufFile(bytes, "whole"); }).empty(), missing == 0);
  }
}

TEST_F(GgufParts, HeadersAddWhatTheyLack) {
  const std::string first = Write(kFirst, {.number = 0, .tensor = "a"});
  const std::string second = Write(kSecond, {.number = 1, .tensor = "b"});
  for (const std::string& path : {first, second}) {
    std::filesystem::resize_file(path, std::filesystem::file_size(path) - 32);
  }
  const GgufFile file(second, GgufUse::kHeader);
  EXPECT_EQ(file.MissingBytes(), file.FindTensor("a")->bytes + file.FindTensor("b")->bytes);
}

TEST(Gguf, ReadsTheConformanceModels) {
  const std::filesystem::path folder = std::filesystem::path(THRONG_SHARED_DIR) / "models";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is missing";
  int count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
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
