#include "kv/codec_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "base/error.h"
#include "kv/codec_parameters.h"

namespace throng::kv {
namespace {

std::string MessageOf(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.what(), std::string(error.what()));
    return error.what();
  }
  return "no error";
}

TEST(ParseCodecTest, NamesTheAllowedCodecs) {
  const std::string message = MessageOf([] { ParseCodec("turbo", 64); });
  EXPECT_THAT(message, testing::HasSubstr("\"turbo\""));
  for (const CodecEntry& entry : CodecTable()) EXPECT_THAT(message, testing::HasSubstr(entry.name));
}

TEST(ParseCodecTest, RefusesParametersThatACodecDoesNotHave) {
  EXPECT_THAT(MessageOf([] { ParseCodec("int8:r=4", 64); }), testing::HasSubstr("unknown parameter r"));
  EXPECT_THAT(MessageOf([] { ParseCodec("int8:r", 64); }), testing::HasSubstr("key=value"));
  EXPECT_THAT(MessageOf([] { ParseCodec("int8:=4", 64); }), testing::HasSubstr("key=value"));
  EXPECT_EQ(ParseCodec("int8:", 64)->Name(), "int8");
}

TEST(ParseCodecTest, RefusesHeadSizesThatKernelsCannotDo) {
  for (const int head_dim : {-8, 0, 4, 12, 257, 264, 1 << 20}) {
    EXPECT_THAT(MessageOf([=] { ParseCodec("f16", head_dim); }), testing::HasSubstr("head size"));
  }
}

TEST(CodecParametersTest, ReadsNumbersAndPercentages) {
  CodecParameters parameters("gear", "r=4,s=2%,t=0.5");
  EXPECT_EQ(parameters.Int("r", 1, 0, 8), 4);
  EXPECT_DOUBLE_EQ(parameters.Fraction("s", 0.0, 0.0, 1.0), 0.02);
  EXPECT_DOUBLE_EQ(parameters.Fraction("t", 0.0, 0.0, 1.0), 0.5);
  EXPECT_EQ(parameters.Int("n", 64, 0, 100), 64);
  parameters.CheckAllUsed();
}

TEST(CodecParametersTest, SaysWhatIsWrong) {
  const auto read = [](const char* text) {
    return MessageOf([text] {
      CodecParameters parameters("gear", text);
      parameters.Int("r", 1, 0, 8);
      parameters.Fraction("s", 0.0, 0.0, 0.1);
      parameters.CheckAllUsed();
    });
  };
  EXPECT_EQ(read("r=9"), "codec gear: r=9 must be a whole number from 0 to 8");
  EXPECT_EQ(read("q=1"), "codec gear: unknown parameter q (allowed: r, s)");
  EXPECT_THAT(read("r=4,r=5"), testing::HasSubstr("twice"));
  EXPECT_THAT(read("r=4x"), testing::HasSubstr("whole number"));
  EXPECT_THAT(read("r=99999999999999"), testing::HasSubstr("whole number"));
  for (const char* text : {"s=20%", "s=nan", "s=%", "s=-1"})
    EXPECT_THAT(read(text), testing::HasSubstr("percentage"));
}

}  // namespace
}  // namespace throng::kv
