// What both ends of the way through Redis call things (redis_link.h).
#pragma once

#include <string>

#include "workers/redis.h"

namespace throng::workers {

inline constexpr const char* kGroup = "workers";
inline constexpr int kKeepSeconds = 24 * 3600;  // keys that nobody touches
inline constexpr int kEndedSeconds = 60;        // in which workers notice that their run has ended

inline std::string KeyPrefix(const RedisAddress& address) { return "throng:" + address.name + ":"; }

}  // namespace throng::workers
