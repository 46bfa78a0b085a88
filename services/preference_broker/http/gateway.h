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
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/mutex.h"
#include "services/preference_broker/http/answer.h"
#include "services/preference_broker/http/cookies.h"
#include "services/preference_broker/http/gate.h"
#include "services/preference_broker/http/pages.h"

namespace backflip::preference_broker {

// Longest body of a call with a valid token, also when it is decompressed; and of any other
// request.
inline constexpr size_t kMaxBodyBytes = 4 << 20;
inline constexpr size_t kMaxAnonymousBodyBytes = 4 << 10;

// A request. Headers that were not sent are empty.
struct HttpRequest {
  std::string method;
  std::string target;
  std::string body;
  // Where it comes from, as limits count: an IPv4 address, or the network of an IPv6 one.
  std::string address;
  std::string authorization;
  std::string cookie;
  // Backflip-Page: "labeling" or "dashboard", the page that calls. Browsers send it, hence let a
  // call use the page's cookie, for scripts of this server's own pages alone.
  std::string page;
  std::string origin;
  std::string fetch_site;
  std::string host;
  std::string content_type;
  std::string content_encoding;
  std::string accept;
  std::string accept_encoding;
  std::string if_none_match;
  std::string connect_protocol_version;
  std::string connect_timeout_ms;
  // The name of a header that decides something and was sent more than once; empty: none was.
  std::string doubled;
};

// What the first line and the headers of a request ask for.
struct Route {
  enum class Kind { kPage, kHealth, kScene, kMethod };
  Kind kind = Kind::kPage;
  // The target without its query.
  std::string path;
  // Of kPage: there is nothing at the address, and the page at `path` says so to a person.
  bool lost = false;
  // Of kMethod: the unary method, and whether its messages are JSON.
  const google::protobuf::MethodDescriptor* method = nullptr;
  bool json = false;
  // Whether the token below must be valid.
  bool closed = false;
  std::string token;
  // Whose cookie the token is, or is to be.
  std::optional<Page> page;
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
  // Once the call is done: the bytes of the service's message, and the answer to the request.
  size_t ResponseBytes() { return response_.Length(); }
  virtual Answer Finish() = 0;

 protected:
  // `place`: of Gate::Enter.
  GatewayCall(grpc::GenericStub* stub, std::shared_ptr<void> place, std::string path,
              const Route& route, const HttpRequest& request, const std::string& message);
  const grpc::Status& status() const { return status_; }
  // The service's message, in binary form.
  std::string Response();

 private:
  grpc::GenericStub* const stub_;
  const std::shared_ptr<void> place_;
  const std::string path_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  grpc::Status status_;
};

// Thread-safe. A request passes Find, then Admit where its route is closed, and then Handle.
class Gateway {
 public:
  // `channel`: to the services, in this process; only they check roles and requests.
  Gateway(const std::shared_ptr<grpc::Channel>& channel, CheckToken check, Pages pages);
  // To be called before the first request: the URL by which browsers reach this server.
  void ReachedAt(const std::string& url);

  // Whether /healthz says that the broker serves; without it, always. Before the first Handle.
  void AnswerHealthBy(std::function<bool()> ready) { ready_ = std::move(ready); }

  // Looks at everything but the body.
  std::variant<Answer, Route> Find(const HttpRequest& request) const;

  // Whether the body may be read: `done` gets the answer to those who have no valid token, or have
  // used up what their address may call without one; nothing: it may. From any thread, perhaps
  // before Admit returns.
  void Admit(const Route& route, const HttpRequest& request,
             std::function<void(std::optional<Answer>)> done);

  // The answer, or a call that will give it. Takes a tenth of a second for each MB of the body. The
  // gateway must outlive the call.
  std::variant<Answer, std::unique_ptr<GatewayCall>> Handle(const Route& route,
                                                            const HttpRequest& request);

  // Compresses an answer to `request` where the client accepts that and it is worth it.
  static void Encode(const HttpRequest& request, Answer* answer);

  // Whether browsers reach this server over TLS alone.
  bool secure() const { return cookies_.secure(); }

 private:
  friend class ConnectCall;
  friend class SceneCall;
  // A compressed scene. The newest are kept, since a scene never changes under its hash.
  struct PackedScene {
    std::string hash;
    std::shared_ptr<const std::string> gzipped;
  };

  std::variant<Answer, Route> FindMethod(const HttpRequest& request, Route route) const;
  // Whether the browser says that a page of this server sends the request.
  bool FromOwnPage(const HttpRequest& request) const;
  // An error, which also ends the session of a page whose token is no longer accepted.
  Answer Refusal(const Route& route, const absl::Status& status);
  std::variant<Answer, std::unique_ptr<GatewayCall>> HandleMethod(std::shared_ptr<void> place,
                                                                  const Route& route,
                                                                  const HttpRequest& request);
  std::variant<Answer, std::unique_ptr<GatewayCall>> HandleScene(std::shared_ptr<void> place,
                                                                 const Route& route,
                                                                 const HttpRequest& request);
  std::shared_ptr<const std::string> PackScene(const std::string& hash, const std::string& glb);

  grpc::GenericStub stub_;
  Gate gate_;
  const Pages pages_;
  std::string url_;
  SessionCookies cookies_;
  std::function<bool()> ready_;
  const std::unique_ptr<google::protobuf::util::TypeResolver> types_;
  // Unary methods that can be reached over HTTP: by "/backflip.v1.LabelingService/Lease".
  std::unordered_map<std::string, const google::protobuf::MethodDescriptor*> methods_;
  base::Mutex mutex_;
  std::list<PackedScene> scenes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_GATEWAY_H_
