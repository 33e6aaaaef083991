#include "cli/flags/codec_lists.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace throng::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(SplitCodecsTest, ParametersStayWithTheirCodec) {
  EXPECT_THAT(SplitCodecs("int8,gear2:r=4,s=2%,rot4"), ElementsAre("int8", "gear2:r=4,s=2%", "rot4"));
  EXPECT_THAT(SplitCodecs("gear2:r=4,s=2%+kivi2:g=32,kcvt=1,f16"),
              ElementsAre("gear2:r=4,s=2%+kivi2:g=32,kcvt=1", "f16"));
  EXPECT_THAT(SplitCodecs("f16"), ElementsAre("f16"));
  EXPECT_THAT(SplitCodecs(",f16,,"), ElementsAre("f16"));
  EXPECT_THAT(SplitCodecs(""), IsEmpty());
  EXPECT_THAT(SplitCodecs("r=4"), ElementsAre("r=4"));
}

}  // namespace
}  // namespace throng::cli
