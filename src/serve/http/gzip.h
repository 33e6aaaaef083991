// Replies in gzip, for clients that accept it.
#pragma once

#include <string>
#include <string_view>

#include "serve/exchange.h"

namespace throng::serve {

bool AcceptsGzip(const HttpRequest& request);
// level: 1, fast, to 9, small.
std::string Gzip(std::string_view bytes, int level);
// Large texts only, at the level that costs least; bytes of a form of their own are small already.
void GzipIfWorth(const HttpRequest& request, HttpReply& reply);

}  // namespace throng::serve
