// What an HTTP request is answered with: a page, an error, or a service's response. Knows no
// sockets.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_GATEWAY_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_GATEWAY_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/type_resolver.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/mutex.h"
#include "services/preference_broker/http/answer.h"
#include "services/preference_broker/http/pages.h"

namespace backflip::preference_broker {

// Longest body of a request, also when it is decompressed.
inline constexpr size_t kMaxBodyBytes = 4 << 20;

// A request with its whole body. Headers that were not sent are empty.
struct HttpRequest {
  std::string method;
  std::string target;
  std::string body;
  std::string authorization;
  std::string content_type;
  std::string content_encoding;
  std::string accept_encoding;
  std::string if_none_match;
  std::string connect_protocol_version;
  std::string connect_timeout_ms;
};

// A call to a service. Not thread-safe.
class GatewayCall {
 public:
  virtual ~GatewayCall() = default;
  // To be called once. Calls `done` once, from a thread of gRPC; the object must live until
  // then.
  void Start(std::function<void()> done);
  // Ends the call soon. To be called between Start and `done`.
  void Cancel() { context_.TryCancel(); }
  // The answer to the request, once the call is done.
  virtual Answer Finish() = 0;

 protected:
  GatewayCall(grpc::GenericStub* stub, const std::string* path, const HttpRequest& request,
              const std::string& message);
  const grpc::Status& status() const { return status_; }
  // The service's message, in binary form.
  std::string Response();

 private:
  grpc::GenericStub* const stub_;
  const std::string* const path_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  grpc::Status status_;
};

// Thread-safe.
class Gateway {
 public:
  // `channel`: to the services, in this process; only they check tokens, roles and requests.
  Gateway(const std::shared_ptr<grpc::Channel>& channel, Pages pages);

  // Whether /healthz says that the broker serves; without it, always. Before the first Handle.
  void AnswerHealthBy(std::function<bool()> ready) { ready_ = std::move(ready); }

  // The answer, or a call that will give it. Does not block. The gateway must
  // outlive the call.
  std::variant<Answer, std::unique_ptr<GatewayCall>> Handle(const HttpRequest& request);

  // Compresses an answer to `request` where the client accepts that and it is worth it.
  static void Encode(const HttpRequest& request, Answer* answer);

 private:
  friend class ConnectCall;
  friend class SceneCall;
  // A unary method that can be reached over HTTP.
  struct Method {
    // "/backflip.v1.LabelingService/Lease"
    std::string path;
    const google::protobuf::Descriptor* input;
    const google::protobuf::Descriptor* output;
  };
  // A compressed scene. The newest are kept, since a scene never changes under its hash.
  struct PackedScene {
    std::string hash;
    std::shared_ptr<const std::string> gzipped;
  };

  std::variant<Answer, std::unique_ptr<GatewayCall>> HandleConnect(const HttpRequest& request,
                                                                   absl::string_view path);
  std::variant<Answer, std::unique_ptr<GatewayCall>> HandleScene(const HttpRequest& request,
                                                                 absl::string_view file);
  std::shared_ptr<const std::string> PackScene(const std::string& hash, const std::string& glb);

  grpc::GenericStub stub_;
  const Pages pages_;
  std::function<bool()> ready_;
  const std::unique_ptr<google::protobuf::util::TypeResolver> types_;
  std::unordered_map<std::string, Method> methods_;
  base::Mutex mutex_;
  std::list<PackedScene> scenes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_GATEWAY_H_
