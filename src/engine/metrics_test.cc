#include "engine/metrics.h"

#include <gtest/gtest.h>

namespace throng::engine {
namespace {

constexpr const char* kText = R"(# HELP throng:a_total As
# TYPE throng:a_total counter
throng:a_total 2
# HELP throng:ended_total Ends
# TYPE throng:ended_total counter
throng:ended_total{reason="stop"} 0
throng:ended_total{reason="length"} 3
# HELP throng:b Bs
# TYPE throng:b gauge
throng:b 0.5
# HELP throng:c_seconds Cs
# TYPE throng:c_seconds histogram
throng:c_seconds_bucket{le="0.001"} 0
throng:c_seconds_bucket{le="0.005"} 0
throng:c_seconds_bucket{le="0.01"} 0
throng:c_seconds_bucket{le="0.025"} 0
throng:c_seconds_bucket{le="0.05"} 0
throng:c_seconds_bucket{le="0.1"} 0
throng:c_seconds_bucket{le="0.25"} 1
throng:c_seconds_bucket{le="0.5"} 2
throng:c_seconds_bucket{le="1"} 2
throng:c_seconds_bucket{le="2.5"} 2
throng:c_seconds_bucket{le="5"} 2
throng:c_seconds_bucket{le="10"} 2
throng:c_seconds_bucket{le="30"} 2
throng:c_seconds_bucket{le="120"} 2
throng:c_seconds_bucket{le="+Inf"} 3
throng:c_seconds_sum 1000.51
throng:c_seconds_count 3
)";

TEST(MetricsTest, PrintsPrometheusText) {
  MetricsRegistry registry;
  registry.Counter("throng:a_total", "As").Add(2);
  registry.Counter("throng:ended_total", "Ends", R"(reason="stop")");
  registry.Counter("throng:ended_total", "Ends", R"(reason="length")").Add(3);
  registry.Gauge("throng:b", "Bs").Set(0.5);
  registry.Durations("throng:c_seconds", "Cs").Observe(0.25);
  registry.Durations("throng:c_seconds", "Cs").Observe(0.26);
  registry.Durations("throng:c_seconds", "Cs").Observe(1000);
  EXPECT_EQ(registry.PrometheusText(), kText);
}

}  // namespace
}  // namespace throng::engine
