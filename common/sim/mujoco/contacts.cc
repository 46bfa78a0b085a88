#include "common/sim/mujoco/contacts.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace backflip::sim {
namespace {

constexpr int kWorld = -1, kNeither = -2;
constexpr double kShortSeconds = 0.25, kLongSeconds = 1;

// Whether MuJoCo looks for contacts of the two geoms: as a pair that the model names, or by their
// masks, unless the model excludes their bodies. Nor are there any of two planes.
bool Collide(const mjModel* model, int a, int b) {
  const auto [low, high] = std::minmax(model->geom_type[a], model->geom_type[b]);
  if (mjCOLLISIONFUNC[low][high] == nullptr) return false;
  for (int i = 0; i < model->npair; ++i) {
    const int first = model->pair_geom1[i], second = model->pair_geom2[i];
    if ((first == a && second == b) || (first == b && second == a)) return true;
  }
  if ((model->geom_contype[a] & model->geom_conaffinity[b]) == 0 &&
      (model->geom_contype[b] & model->geom_conaffinity[a]) == 0) {
    return false;
  }
  const auto [first, second] = std::minmax(model->geom_bodyid[a], model->geom_bodyid[b]);
  const int *const begin = model->exclude_signature, *const end = begin + model->nexclude;
  return std::find(begin, end, (first << 16) + second) == end;
}

}  // namespace

std::vector<int> TouchingBodies(const mjModel* model) {
  // bodies that are fixed to each other have one weld id; the world's is 0
  std::vector<int> bodies;
  for (int geom = 0; geom < model->ngeom; ++geom) {
    bodies.push_back(model->body_weldid[model->geom_bodyid[geom]]);
  }
  std::vector<int> still;
  for (int geom = 0; geom < model->ngeom; ++geom) {
    if (bodies[geom] == 0) still.push_back(geom);
  }
  for (int geom = 0; geom < model->ngeom; ++geom) {
    const auto touches = [=](int other) { return Collide(model, geom, other); };
    if (bodies[geom] > 0 && std::none_of(still.begin(), still.end(), touches)) bodies[geom] = -1;
  }
  return bodies;
}

absl::StatusOr<Contacts> Contacts::Resolve(const Located& at, double step_seconds, mjModel* model) {
  Contacts result;
  result.short_share_ = 1 - std::exp(-step_seconds / kShortSeconds);
  result.long_share_ = 1 - std::exp(-step_seconds / kLongSeconds);
  std::map<int, int> contact_of;
  for (const int body : TouchingBodies(model)) {
    if (body <= 0) {
      result.contact_.push_back(body == 0 ? kWorld : kNeither);
      continue;
    }
    const auto [place, added] = contact_of.emplace(body, model->nuserdata);
    for (int i = 0; added && i < 3; ++i) result.memory_.push_back(model->nuserdata++);
    result.contact_.push_back(place->second);
  }
  if (!result.memory_.empty()) return result;
  return at.Error("contacts", "no body that moves can touch one that stands still: leave it out");
}

void Contacts::Update(bool after_step, mjData* data) const {
  for (size_t i = 0; i < memory_.size(); i += 3) data->userdata[memory_[i]] = 0;
  for (int i = 0; i < data->ncon; ++i) {
    const int a = data->contact[i].geom[0], b = data->contact[i].geom[1];
    if (a < 0 || b < 0) continue;  // flexes
    if (contact_[a] >= 0 && contact_[b] == kWorld) data->userdata[contact_[a]] = 1;
    if (contact_[b] >= 0 && contact_[a] == kWorld) data->userdata[contact_[b]] = 1;
  }
  for (size_t i = 0; after_step && i < memory_.size(); i += 3) {
    const double now = data->userdata[memory_[i]];
    double& shorter = data->userdata[memory_[i + 1]];
    double& longer = data->userdata[memory_[i + 2]];
    shorter += short_share_ * (now - shorter);
    longer += long_share_ * (now - longer);
  }
}

}  // namespace backflip::sim
