#include "common/sim/mujoco/robot.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace backflip::sim {
namespace {

constexpr double kAspect = 4.0 / 3;
// Shares of a picture's height or width, and how far from its middle towards its edge.
constexpr double kShareAtFirst = 0.55, kMostShare = 0.72, kLeastShown = 0.33, kReach = 0.95;
constexpr double kLeastDistance = 0.01, kGreatestDistance = 1e4;  // a task's own bounds

// The topmost body that moves of those that carry `body`, itself included; 0: none does.
int MovingRoot(const mjModel* model, int body) {
  int root = 0;
  for (; body > 0; body = model->body_parentid[body]) {
    if (model->body_dofnum[body] > 0) root = body;
  }
  return root;
}

// The bodies that an actuator acts on.
std::vector<int> DrivenBodies(const mjModel* model, int actuator) {
  const int* id = model->actuator_trnid + 2 * actuator;
  switch (model->actuator_trntype[actuator]) {
    case mjTRN_JOINT:
    case mjTRN_JOINTINPARENT:
      return {model->jnt_bodyid[id[0]]};
    case mjTRN_SITE:
    case mjTRN_SLIDERCRANK:
      return {model->site_bodyid[id[0]]};
    case mjTRN_SO3:  // a ball joint, or a site against another
      return {id[1] < 0 ? model->jnt_bodyid[id[0]] : model->site_bodyid[id[0]]};
    case mjTRN_BODY:
      return {id[0]};
    case mjTRN_TENDON: {
      std::vector<int> bodies;
      for (int i = 0; i < model->tendon_num[id[0]]; ++i) {
        const int wrap = model->tendon_adr[id[0]] + i, object = model->wrap_objid[wrap];
        const int type = model->wrap_type[wrap];
        if (type == mjWRAP_JOINT) bodies.push_back(model->jnt_bodyid[object]);
        if (type == mjWRAP_SITE) bodies.push_back(model->site_bodyid[object]);
      }
      return bodies;
    }
    default:
      return {};
  }
}

bool IsDrawn(const mjModel* model, int geom) {
  const int type = model->geom_type[geom];
  const bool stands = model->body_weldid[model->geom_bodyid[geom]] == 0;
  return type != mjGEOM_PLANE && (type != mjGEOM_HFIELD || !stands) &&
         ColourOf(model, model->geom_rgba + 4 * geom, model->geom_matid[geom])[3] > 0;
}

bool IsSiteDrawn(const mjModel* model, int site) {
  return ColourOf(model, model->site_rgba + 4 * site, model->site_matid[site])[3] > 0;
}
bool IsTendonDrawn(const mjModel* model, int tendon) {
  return ColourOf(model, model->tendon_rgba + 4 * tendon, model->tendon_matid[tendon])[3] > 0;
}

// The sites of the tendons that can be seen and go through one of the robot's.
std::vector<int> SitesOfTendons(const mjModel* model, const Robot& robot) {
  std::vector<int> sites;
  for (int tendon = 0; tendon < model->ntendon; ++tendon) {
    std::vector<int> here;
    bool is_robot = false;
    for (int i = 0; i < model->tendon_num[tendon] && IsTendonDrawn(model, tendon); ++i) {
      const int wrap = model->tendon_adr[tendon] + i, site = model->wrap_objid[wrap];
      if (model->wrap_type[wrap] != mjWRAP_SITE) continue;
      here.push_back(site);
      is_robot = is_robot || robot.bodies[model->site_bodyid[site]];
    }
    if (is_robot) sites.insert(sites.end(), here.begin(), here.end());
  }
  return sites;
}

void AddBox(const mjtNum* place, const mjtNum* axes, const mjtNum* middle, const mjtNum* half,
            std::vector<Point>* corners) {
  for (int corner = 0; corner < 8; ++corner) {
    mjtNum local[3], world[3];
    for (int i = 0; i < 3; ++i) local[i] = middle[i] + ((corner >> i & 1) ? 1 : -1) * half[i];
    mju_mulMatVec3(world, axes, local);
    corners->push_back({place[0] + world[0], place[1] + world[1], place[2] + world[2]});
  }
}

// Of a robot without geoms that can be seen.
void AddSites(const mjModel* model, const mjData* data, const Robot& robot,
              std::vector<Point>* corners) {
  constexpr mjtNum kMiddle[3] = {0, 0, 0};
  for (int site = 0; site < model->nsite; ++site) {
    if (!robot.bodies[model->site_bodyid[site]] || !IsSiteDrawn(model, site)) continue;
    const mjtNum* size = model->site_size + 3 * site;
    const int type = model->site_type[site];
    const bool round = type == mjGEOM_CAPSULE || type == mjGEOM_CYLINDER;
    const mjtNum cap = type == mjGEOM_CAPSULE ? size[0] : 0;
    const mjtNum half[3] = {size[0], round || type == mjGEOM_SPHERE ? size[0] : size[1],
                            type == mjGEOM_SPHERE ? size[0]
                            : round               ? size[1] + cap
                                                  : size[2]};
    AddBox(data->site_xpos + 3 * site, data->site_xmat + 9 * site, kMiddle, half, corners);
  }
  for (const int site : SitesOfTendons(model, robot)) {
    const mjtNum* place = data->site_xpos + 3 * site;
    corners->push_back({place[0], place[1], place[2]});
  }
}

// A camera that looks in a direction, and what it sees of a point: `x` to the right, `y` up, and
// `depth` beyond the target.
struct Seen {
  double x, y, depth;
};
std::vector<Seen> See(const RobotView& view, double azimuth, double elevation) {
  const double a = azimuth * std::numbers::pi / 180, e = elevation * std::numbers::pi / 180;
  const Point right = {std::sin(a), -std::cos(a), 0};
  const Point up = {-std::sin(e) * std::cos(a), -std::sin(e) * std::sin(a), std::cos(e)};
  const Point forward = {std::cos(e) * std::cos(a), std::cos(e) * std::sin(a), std::sin(e)};
  std::vector<Seen> seen;
  for (const Point& corner : view.corners) {
    Seen point = {0, 0, 0};
    for (int i = 0; i < 3; ++i) {
      const double from_target = corner[i] - view.target[i];
      point.x += right[i] * from_target;
      point.y += up[i] * from_target;
      point.depth += forward[i] * from_target;
    }
    seen.push_back(point);
  }
  return seen;
}

// Half of what a camera sees at a distance of 1: MuJoCo's field of view is 45 degrees high.
const double kHalfPicture = std::tan(std::numbers::pi / 8);

// The greater of the shares of the picture's height and width.
double Share(const std::vector<Seen>& points, double distance) {
  double left = 0, right = 0, low = 0, high = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    const double scale = 1 / (std::max(distance + points[i].depth, 1e-9) * 2 * kHalfPicture);
    const double x = points[i].x * scale / kAspect, y = points[i].y * scale;
    left = i == 0 ? x : std::min(left, x);
    right = i == 0 ? x : std::max(right, x);
    low = i == 0 ? y : std::min(low, y);
    high = i == 0 ? y : std::max(high, y);
  }
  return std::max(right - left, high - low);
}

// The least distance at which the points fill at most `share`.
double DistanceOfShare(const std::vector<Seen>& points, double share) {
  double near = kLeastDistance, far = kGreatestDistance;
  for (int i = 0; i < 60; ++i) {
    const double middle = std::sqrt(near * far);
    (Share(points, middle) > share ? near : far) = middle;
  }
  return far;
}

}  // namespace

Robot RobotOf(const mjModel* model) {
  const int bodies = static_cast<int>(model->nbody);
  std::vector<bool> driven(bodies, false);
  Robot robot = {0, std::vector<bool>(bodies, false)};
  for (int i = 0; i < model->nactuator; ++i) {
    for (const int body : DrivenBodies(model, i)) {
      const int root = MovingRoot(model, body);
      driven[root] = true;
      if (robot.root == 0) robot.root = root;
    }
  }
  const bool any_driven = robot.root > 0;
  for (int body = 1; body < bodies; ++body) {
    const int root = MovingRoot(model, body);
    if (root == 0 || (any_driven && !driven[root])) continue;
    robot.bodies[body] = true;
    if (robot.root == 0) robot.root = root;
  }
  if (robot.root == 0) {
    robot.root = std::min(1, bodies - 1);
    robot.bodies.assign(bodies, true);
  }
  return robot;
}

bool IsVisible(const mjModel* model, const Robot& robot) {
  if (model->nskin + model->nflex > 0 || !SitesOfTendons(model, robot).empty()) return true;
  for (int geom = 0; geom < model->ngeom; ++geom) {
    if (robot.bodies[model->geom_bodyid[geom]] && IsDrawn(model, geom)) return true;
  }
  for (int site = 0; site < model->nsite; ++site) {
    if (robot.bodies[model->site_bodyid[site]] && IsSiteDrawn(model, site)) return true;
  }
  return false;
}

VisibleGroups::VisibleGroups(const mjModel* model) : all_(false) {
  const Robot robot = RobotOf(model);
  bool visible = false, has_geoms = false;
  for (int geom = 0; geom < model->ngeom; ++geom) {
    if (!robot.bodies[model->geom_bodyid[geom]] || !IsDrawn(model, geom)) continue;
    has_geoms = true;
    visible = visible || Show(model->geom_group[geom]);
  }
  for (int i = 0; i < model->nsite && !has_geoms; ++i) {
    visible = visible || (robot.bodies[model->site_bodyid[i]] && IsSiteDrawn(model, i) &&
                          Show(model->site_group[i]));
  }
  for (int i = 0; i < model->ntendon && !has_geoms; ++i) {
    visible = visible || (IsTendonDrawn(model, i) && Show(model->tendon_group[i]));
  }
  for (int i = 0; i < model->nskin; ++i) visible = visible || Show(model->skin_group[i]);
  for (int i = 0; i < model->nflex; ++i) visible = visible || Show(model->flex_group[i]);
  all_ = !visible;
}

std::array<float, 4> ColourOf(const mjModel* model, const float* rgba, int material) {
  const bool is_default = rgba[0] == 0.5f && rgba[1] == 0.5f && rgba[2] == 0.5f && rgba[3] == 1.0f;
  if (is_default && material >= 0) rgba = model->mat_rgba + 4 * material;
  return {rgba[0], rgba[1], rgba[2], rgba[3]};
}

std::vector<Point> RobotCorners(const mjModel* model, const mjData* data, const Robot& robot) {
  const VisibleGroups groups(model);
  std::vector<Point> corners;
  for (int geom = 0; geom < model->ngeom; ++geom) {
    if (!robot.bodies[model->geom_bodyid[geom]] || !groups.Show(model->geom_group[geom]) ||
        !IsDrawn(model, geom)) {
      continue;
    }
    const mjtNum* box = model->geom_aabb + 6 * geom;
    AddBox(data->geom_xpos + 3 * geom, data->geom_xmat + 9 * geom, box, box + 3, &corners);
  }
  const bool is_soft = model->nflex + model->nskin > 0;
  if (corners.empty() && !is_soft) AddSites(model, data, robot, &corners);
  // what skins and flexes hang on may have no geoms; what nobody sees has a place and a size
  const bool by_bodies = corners.empty();
  const mjtNum size = is_soft ? 0 : std::max(model->stat.meansize, 0.01);
  for (int body = 1; body < model->nbody && (by_bodies || is_soft); ++body) {
    const mjtNum* place = data->xipos + 3 * body;
    if (!robot.bodies[body]) continue;
    corners.push_back({place[0] - size, place[1] - size, place[2] - size});
    corners.push_back({place[0] + size, place[1] + size, place[2] + size});
  }
  return corners;
}

double CameraDistance(const std::vector<RobotView>& views, double azimuth, double elevation) {
  double nearest = 0, farthest = kGreatestDistance, wanted = 0, at_first = 0;
  for (const RobotView& view : views) {
    const std::vector<Seen> seen = See(view, azimuth, elevation);
    nearest = std::max(nearest, DistanceOfShare(seen, kMostShare));
    farthest = std::min(farthest, DistanceOfShare(seen, kLeastShown));
    for (const Seen& point : seen) {
      const double aside = std::max(std::abs(point.x), std::abs(point.y));
      nearest = std::max(nearest, aside / (kReach * kHalfPicture) - point.depth);
    }
    if (&view != &views[0]) continue;
    wanted = DistanceOfShare(seen, kShareAtFirst);
    at_first = DistanceOfShare(seen, kLeastShown);
  }
  // what flies apart is followed only so far
  const double distance = std::min(std::max(nearest, std::min(wanted, farthest)), at_first);
  return std::clamp(distance, kLeastDistance, kGreatestDistance);
}

double LeastShare(const std::vector<RobotView>& views, double azimuth, double elevation,
                  double distance) {
  double least = 1;
  for (const RobotView& view : views) {
    least = std::min(least, Share(See(view, azimuth, elevation), distance));
  }
  return least;
}

}  // namespace backflip::sim
