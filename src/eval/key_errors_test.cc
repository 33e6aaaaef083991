#include "eval/key_errors.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "kv/codec_table.h"

namespace throng::eval {
namespace {

std::vector<std::string> AllCodecs() {
  std::vector<std::string> codecs;
  for (const kv::CodecEntry& entry : kv::CodecTable()) codecs.emplace_back(entry.name);
  return codecs;
}

// Every codec: a bias that attention adds costs nothing, however long it is and however fast it turns.
TEST(KeyErrorsTest, WithoutTheBiasEveryCodecHasItsOwnError) {
  for (const KeyErrors& errors : MeasureKeyErrors(AllCodecs())) {
    for (size_t i = 0; i < BiasCases().size(); ++i) {
      // f32 and f16 are so exact here that the rounding of products is all there is.
      EXPECT_LE(errors.without[i].score, 1.1 * errors.unbiased.score + 2e-5)
          << errors.kv << BiasCases()[i].name;
      EXPECT_EQ(errors.without[i].decoded, errors.unbiased.decoded);
    }
  }
}

TEST(KeyErrorsTest, UnknownCodecsAreRefused) {
  const std::vector<std::string> codecs = {"rot9"};
  EXPECT_THROW(MeasureKeyErrors(codecs), Error);
}

}  // namespace
}  // namespace throng::eval
