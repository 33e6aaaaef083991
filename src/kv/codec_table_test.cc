#include "kv/codec_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "kv/testing/message_of.h"

namespace throng::kv {
namespace {

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
  for (const int head_dim : {-8, 0, 4, 12, 257, 577, 584, 1 << 20}) {
    EXPECT_THAT(MessageOf([=] { ParseCodec("f16", head_dim); }), testing::HasSubstr("head size"));
  }
}

}  // namespace
}  // namespace throng::kv
