// GET / and GET /viewer.js: the files of web/, which the build puts into the program.

#include "serve/endpoints.h"
#include "serve/web_files.h"

namespace throng::serve {

HttpReply ViewerPage(Context& context, const HttpRequest& request) {
  HttpReply reply;
  reply.type = "text/html; charset=utf-8";
  reply.body = kViewerPage;
  return reply;
}

HttpReply ViewerScript(Context& context, const HttpRequest& request) {
  HttpReply reply;
  reply.type = "text/javascript; charset=utf-8";
  reply.body = kViewerScript;
  return reply;
}

}  // namespace throng::serve
