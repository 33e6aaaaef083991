#include "llm/backends/backend_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace throng::llm {
namespace {

using ::testing::HasSubstr;

std::string SpecError(const std::string& spec) {
  try {
    MakeBackend(spec);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(BackendSpec, MakesWhatIsNamed) {
  EXPECT_EQ(MakeBackend("fake:latency=0.25,parallel=2")->Identity(),
            "fake latency=0.25 spread=0 parallel=2 seed=0");
  EXPECT_THAT(MakeBackend("latency:replicas=8")->Identity(), HasSubstr("replicas=8"));
  EXPECT_EQ(MakeBackend("http://localhost:9/v1/?model=m&in_flight=1")->Identity(),
            "http http://localhost:9/v1 model=m");
  EXPECT_EQ(MakeBackend("http://localhost:9?in_flight=1")->Identity(),
            "http http://localhost:9/v1 model=(its first)");
}

TEST(BackendSpec, RefusesWithWhatIsAllowed) {
  EXPECT_THAT(SpecError("vllm"), HasSubstr("the backends are local, fake"));
  EXPECT_THAT(SpecError("replay:"), HasSubstr("replay:FILE"));
  EXPECT_THAT(SpecError("fake:latncy=1"), HasSubstr("(allowed: latency, spread, parallel, seed"));
  EXPECT_THAT(SpecError("fake:latency=-1"), HasSubstr("latency=-1 must be a number from 0 to"));
  EXPECT_THAT(SpecError("fake:latency=nan"), HasSubstr("must be a number"));
  EXPECT_THAT(SpecError("latency:batch=1.5"), HasSubstr("must be a whole number"));
  EXPECT_THAT(SpecError("http://"), HasSubstr("not a server's address"));
  EXPECT_THAT(SpecError("http://user:secret@host/"), HasSubstr("not a server's address"));
  EXPECT_THAT(SpecError("http://h?in_flight=0"), HasSubstr("in_flight"));
}

TEST(BackendSpec, KnowsTheBackendsInVirtualTime) {
  for (const char* spec : {"fake", "fake:latency=1", "latency:replicas=8"})
    EXPECT_TRUE(IsVirtualBackend(spec));
  for (const char* spec : {"local", "replay:a.journal", "http://h", "https://h", "faker", ""}) {
    EXPECT_FALSE(IsVirtualBackend(spec)) << spec;
  }
  EXPECT_EQ(VirtualBackendForms(), "fake[:key=value,...], latency[:key=value,...]");
}

}  // namespace
}  // namespace throng::llm
