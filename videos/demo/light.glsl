// What the figure looks like: materials, three studio lights and a backdrop.

uniform vec2 uSize;
uniform int uTaps;           // samples per pixel of this pass
uniform int uShadowSteps;

const vec3 KEY = normalize(vec3(-0.62, 0.62, 0.80));
const vec3 FILL = normalize(vec3(0.85, 0.05, 0.65));
const vec3 RIM_RIGHT = normalize(vec3(0.90, 0.35, -0.55));
const vec3 RIM_LEFT = normalize(vec3(-0.90, 0.45, -0.70));
const vec3 KEY_COLOUR = vec3(1.00, 0.87, 0.72) * 1.52;
const vec3 FILL_COLOUR = vec3(0.58, 0.64, 1.00) * 0.34;
const vec3 RIM_RIGHT_COLOUR = vec3(1.00, 0.62, 0.50) * 1.7;
const vec3 RIM_LEFT_COLOUR = vec3(0.50, 0.70, 1.00) * 1.3;
const vec3 CAMERA = vec3(0.0, -0.40, 9.6);
const float VIEW = 2.22;     // half the picture's height at the figure

float field(vec3 p) { int w; return map(p, w); }

vec3 normalAt(vec3 p, float h) {
    vec3 n = vec3(0.0);
    for (int i = min(uSteps, 0); i < 4; i++) {
        vec3 e = 0.5773 * (2.0 * vec3((((i + 3) >> 1) & 1), ((i >> 1) & 1), (i & 1)) - 1.0);
        n += e * field(p + h * e);
    }
    return normalize(n);
}

float shadow(vec3 p, vec3 l) {
    float lit = 1.0, t = 0.03;
    for (int i = 0; i < uShadowSteps; i++) {
        float d = field(p + l * t);
        lit = min(lit, 0.5 + 0.5 * d / (0.11 * t + 0.004));
        t += clamp(d, 0.03, 0.30);
        if (lit < 0.0 || t > 2.6) break;
    }
    lit = clamp(lit, 0.0, 1.0);
    return lit * lit * (3.0 - 2.0 * lit);
}

float occlusion(vec3 p, vec3 n) {
    float sum = 0.0, weight = 1.0;
    for (int i = 1; i <= min(uSteps, 4); i++) {
        float h = 0.02 + 0.075 * float(i * i) * 0.45;
        sum += weight * clamp(h - field(p + n * h), 0.0, h) / h;
        weight *= 0.72;
    }
    return clamp(1.0 - 0.46 * sum, 0.0, 1.0);
}

vec3 backdrop(vec2 uv) {
    float glow = exp(-1.6 * dot(uv - vec2(-0.28, 0.20), uv - vec2(-0.28, 0.20)));
    vec3 c = mix(vec3(0.022, 0.024, 0.056), vec3(0.190, 0.118, 0.185), glow);
    c += vec3(0.20, 0.085, 0.05) * exp(-3.0 * dot(uv - vec2(0.95, -0.55), uv - vec2(0.95, -0.55)));
    c += vec3(0.02, 0.07, 0.10) * exp(-2.2 * dot(uv - vec2(-1.0, -0.5), uv - vec2(-1.0, -0.5)));
    for (int i = min(uSteps, 0); i < 15; i++) {
        float f = float(i) + 3.0;
        vec2 at = vec2(hash1(f), hash1(f + 31.7)) * 2.3 - 1.15;
        float r = 0.07 + 0.14 * hash1(f + 71.3);
        float soft = 0.022 + 0.05 * hash1(f + 11.9);
        float d = length(uv - at) - r;
        float disc = smoothstep(soft, -soft, d) * (0.65 + 0.35 * smoothstep(-r, 0.0, d));
        vec3 tint = mix(vec3(1.0, 0.58, 0.34), vec3(0.42, 0.55, 0.95), hash1(f + 5.1));
        c += tint * disc * (0.018 + 0.060 * hash1(f + 17.0)) * smoothstep(0.2, 0.9, length(at));
    }
    return c * (1.0 - 0.22 * dot(uv, uv) * 0.5);
}

float lobe(vec3 n, vec3 v, vec3 l, float gloss) {
    vec3 h = normalize(l + v);
    return pow(max(dot(n, h), 0.0), gloss) * (gloss + 8.0) / 25.0;
}

float freckles(vec2 p) {
    vec2 cell = floor(p);
    float a = hash1(cell.x + 57.0 * cell.y), b = hash1(cell.x * 3.1 + 19.0 * cell.y + 5.0);
    float r = 0.10 + 0.12 * hash1(a * 37.0);
    float d = length(p - cell - 0.25 - 0.5 * vec2(a, b));
    return smoothstep(r, r * 0.35, d) * step(0.42, hash1(b * 91.0 + 3.0));
}

vec3 irisColour(vec2 q, float r, vec2 lit) {
    // q is the point on the iris plane in units of the iris radius.
    float a = atan(q.y, q.x);
    float fibre = noise1(a * 14.0 + 60.0) * 0.6 + noise1(a * 37.0 + 9.0 + r * 2.0) * 0.4;
    vec3 outer = vec3(0.055, 0.115, 0.085), inner = vec3(0.36, 0.235, 0.085);
    vec3 c = mix(inner, outer, smoothstep(0.35, 0.85, r + 0.25 * (fibre - 0.5)));
    c *= 0.55 + 0.95 * fibre;
    // Light that entered on one side gathers on the other.
    c *= 0.55 + 2.1 * smoothstep(-0.5, 0.9, dot(q, -lit));
    c *= 1.0 - 0.85 * smoothstep(0.80, 1.0, r);
    return mix(vec3(0.006), c, smoothstep(0.36, 0.43, r));
}

vec3 shadeEye(vec3 h, vec3 nWorld, vec3 v, float shade, float ao) {
    vec3 e = toEye(h);
    float side = sign(h.x);
    vec3 d = vec3(abs(h.x), h.yz) - EYE;
    d.x *= side;
    // Turn the eyeball back so that the iris looks along +z.
    float toe = -0.035 * side;
    float cx = cos(uGaze.x + toe), sx = sin(uGaze.x + toe), cy = cos(uGaze.y), sy = sin(uGaze.y);
    vec3 g = vec3(cx * d.x - sx * d.z, d.y, sx * d.x + cx * d.z);
    g = vec3(g.x, cy * g.y - sy * g.z, sy * g.y + cy * g.z) / EYE_R;
    float R = 0.60;
    // The iris lies behind the cornea: shift it against the line of sight.
    vec3 vh = v * uHeadTurn;
    vec2 q = g.xy / R;
    float r = length(q);
    q -= 0.10 * vh.xy * (1.0 - smoothstep(0.7, 1.0, r));
    r = length(q);
    vec3 white = vec3(0.80, 0.765, 0.755);
    white = mix(white, vec3(0.72, 0.42, 0.38), 0.55 * smoothstep(0.17, 0.31, abs(e.x + 0.01)));
    vec3 c = mix(irisColour(q, r, vec2(-0.55, 0.65)), white, smoothstep(0.94, 1.05, r));
    vec2 edge = lids(e.x);
    float cover = mix(0.30, 1.0, smoothstep(0.0, 0.13, edge.x - e.y));
    cover *= mix(0.75, 1.0, smoothstep(0.0, 0.03, e.y - edge.y));
    float diff = 0.35 + 0.65 * max(dot(nWorld, KEY), 0.0) * mix(shade, 1.0, 0.4);
    vec3 col = c * cover * (KEY_COLOUR * diff * 0.62 + FILL_COLOUR * 0.55 + vec3(0.10, 0.10, 0.13));
    // Cornea: a soft window above and a dim card below; it bulges over the iris.
    float dome = 0.5 * (1.0 - smoothstep(0.5, 1.1, r));
    vec3 bulge = normalize(nWorld + uHeadTurn * vec3(0.0, 0.0, dome));
    vec3 f = reflect(-v, bulge);
    vec2 w = vec2(dot(f, normalize(vec3(0.80, 0.0, 0.62))), f.y) / max(dot(f, KEY), 0.1)
             - vec2(0.0, 0.60);
    float window = smoothstep(0.06, 0.0, max(abs(w.x) - 0.20, abs(w.y) - 0.20)) * step(0.0, f.z);
    float card = smoothstep(0.90, 1.0, dot(f, normalize(vec3(0.62, -0.35, 0.75))));
    float open_ = smoothstep(-0.005, 0.02, edge.x - e.y);
    card *= smoothstep(0.40, 0.60, r);
    col += (window * vec3(1.7, 1.65, 1.55) + card * vec3(0.10, 0.12, 0.17)) * open_;
    col += vec3(0.9) * smoothstep(0.016, 0.0, abs(e.y - edge.y - 0.008)) * 0.22 * shade;
    return col;
}

vec3 render(vec2 pixel, out float key) {
    vec2 uv = (2.0 * pixel - uSize) / uSize.y;
    vec3 v = -normalize(vec3(uv * VIEW, -CAMERA.z));
    float t = CAMERA.z - (uBones > 0 ? 2.0 : 1.45), d = 1.0;
    int what = 0;
    vec3 p;
    for (int i = 0; i < uSteps; i++) {
        p = CAMERA - v * t;
        d = field(p);
        t += d * 0.88;
        if (d < 0.003 || t > CAMERA.z + 1.5) break;
    }
    vec3 back = backdrop(uv);
    key = 0.0;
    if (t > CAMERA.z + 1.45) return back;
    map(p, what);
    vec3 n = normalAt(p, what == EYEBALL ? 0.002 : what == HAIR ? 0.016 : 0.006);
    vec3 h = toHead(p);
    float ao = occlusion(p, n);
    float shade = shadow(p + n * 0.012, KEY);
    float nk = dot(n, KEY), nv = clamp(dot(n, v), 0.0, 1.0);
    float sky = 0.5 + 0.5 * n.y;
    float fresnel = pow(1.0 - nv, 4.0);
    vec3 ambient = mix(vec3(0.15, 0.085, 0.085), vec3(0.18, 0.19, 0.28), sky) * 0.62;
    float rimR = pow(1.0 - nv, 2.2) * smoothstep(-0.15, 0.65, dot(n, RIM_RIGHT));
    float rimL = pow(1.0 - nv, 2.2) * smoothstep(-0.15, 0.65, dot(n, RIM_LEFT));
    vec3 rim = (RIM_RIGHT_COLOUR * rimR + RIM_LEFT_COLOUR * rimL) * ao;
    vec3 col = vec3(0.0);
    if (what == SKIN || what == PALM) {
        vec3 a = vec3(0.80, 0.500, 0.375);
        float gloss = 1.0;
        if (what == SKIN) {
            float ax = abs(h.x);
            float face = smoothstep(0.2, 0.5, h.z);
            // Blood near the surface: cheeks, nose, under the brows; freckles on top.
            vec2 ck = (vec2(ax, h.y) - vec2(0.47, -0.34)) / vec2(0.27, 0.20);
            a = mix(a, vec3(0.83, 0.345, 0.27), 0.55 * exp(-dot(ck, ck)) * face);
            vec2 ns = (vec2(ax, h.y) - vec2(0.0, -0.30)) / vec2(0.15, 0.12);
            a = mix(a, vec3(0.82, 0.36, 0.28), 0.42 * exp(-dot(ns, ns)) * face);
            vec2 fr = (vec2(ax, h.y) - vec2(0.27, -0.27)) / vec2(0.32, 0.11);
            float spots = freckles(h.xy * 17.0) + 0.7 * freckles(h.xy * 25.0 + 7.3);
            a *= 1.0 - vec3(0.20, 0.38, 0.46) * spots * exp(-dot(fr, fr)) * face;
            vec3 e = toEye(h);
            vec2 edge = lids(e.x);
            float around = exp(-dot(e.xy / vec2(0.30, 0.23), e.xy / vec2(0.30, 0.23)));
            a = mix(a, vec3(0.62, 0.31, 0.25), (e.y > 0.0 ? 0.52 : 0.30) * around * face);
            float inX = smoothstep(0.29, 0.22, abs(e.x)) * face;
            float fold = 0.215 * max(1.0 - e.x * e.x / 0.085, 0.0) + 0.035 - 0.06 * uBlink;
            float crease = e.y - fold;
            a *= 1.0 - 0.35 * exp(-crease * crease / 0.0005) * inX * (1.0 - 0.5 * uBlink);
            float liner = smoothstep(0.045, 0.0, abs(e.y - edge.x - 0.008)) * inX;
            a = mix(a, vec3(0.10, 0.045, 0.04), 0.75 * liner * step(edge.x - 0.02, e.y));
            float lowLine = smoothstep(0.028, 0.0, abs(e.y - edge.y + 0.004)) * inX;
            a = mix(a, vec3(0.50, 0.20, 0.17), 0.55 * lowLine);
            // Lips.
            vec3 mouth = lips(h.x);
            float body = max(1.0 - mouth.z * mouth.z, 0.0);
            float bowX = abs(mouth.z) - 0.25;
            float upT = (0.082 + 0.018 * exp(-22.0 * bowX * bowX)) * pow(body, 0.75);
            float lowT = 0.118 * pow(body, 0.62);
            float isUp = smoothstep(0.014, -0.012, h.y - mouth.x - upT);
            float isLow = smoothstep(0.016, -0.014, mouth.y - lowT - h.y);
            float lip = isUp * isLow * step(abs(mouth.z), 1.0) * face;
            float cracks = noise1(h.x * 70.0) * 0.10;
            a = mix(a, vec3(0.60, 0.155, 0.160) * (1.0 - cracks), 0.80 * lip);
            gloss += 0.9 * lip;
            float seam = h.y - 0.5 * (mouth.x + mouth.y);
            a *= 1.0 - 0.55 * exp(-seam * seam / 0.00022) * smoothstep(1.12, 0.9, abs(mouth.z))
                 * face * smoothstep(0.05, 0.0, mouth.x - mouth.y);
            // Inside the mouth.
            float inside = smoothstep(0.0, 0.03, min(mouth.x - h.y, h.y - mouth.y))
                           * smoothstep(0.86, 0.78, h.z) * face;
            a = mix(a, vec3(0.16, 0.02, 0.02), inside);
            // Brows: hairs that lean outwards.
            float t = (ax - 0.13) / 0.56;
            float along = h.y - browLine(h, h.x);
            float hairs = noise1((ax * 0.9 - along * 0.9) * 95.0) - 0.5;
            float thick = 0.056 * smoothstep(-0.06, 0.16, t)
                          * (1.0 - 0.72 * smoothstep(0.35, 1.05, t));
            float brow = smoothstep(thick + 0.018, thick - 0.022, abs(along) + 0.016 * hairs)
                         * smoothstep(-0.02, 0.10, t) * smoothstep(1.08, 0.92, t) * face;
            a = mix(a, vec3(0.105, 0.040, 0.024) * (1.0 + 0.9 * hairs), 0.94 * brow);
            gloss *= 1.0 - 0.7 * brow;
        } else {
            a = mix(a, vec3(0.80, 0.40, 0.31), 0.48);
        }
        // Light bleeds further round the form in red than in blue.
        vec3 wrap = vec3(0.42, 0.22, 0.16);
        vec3 diff = clamp((vec3(nk) + wrap) / (1.0 + wrap), 0.0, 1.0);
        diff *= diff * 0.35 + 0.65;
        vec3 lit = mix(pow(vec3(shade), vec3(0.70, 1.0, 1.12)), vec3(1.0), 0.02);
        vec3 bleed = pow(vec3(ao), vec3(0.65, 1.0, 1.1));
        col = a * (KEY_COLOUR * diff * lit * mix(vec3(1.0), bleed, 0.5)
                   + FILL_COLOUR * clamp((dot(n, FILL) + 0.35) / 1.35, 0.0, 1.0) * bleed
                   + ambient * bleed);
        // Light through thin parts.
        float thin = what == PALM ? clamp(0.5 + 5.0 * field(p - n * 0.08), 0.0, 1.0) : 0.3;
        col += a * vec3(0.60, 0.14, 0.06) * thin * 0.22 * ao;
        float s = lobe(n, v, KEY, 22.0) * 0.09 + lobe(n, v, KEY, 90.0) * 0.035 * gloss;
        col += KEY_COLOUR * s * shade * gloss;
        col += FILL_COLOUR * lobe(n, v, FILL, 24.0) * 0.10 * gloss * ao;
        col += rim * vec3(0.75, 0.62, 0.58) * 0.8;
    } else if (what == EYEBALL) {
        col = shadeEye(h, n, v, shade, ao);
    } else if (what == LASH) {
        col = vec3(0.018, 0.010, 0.009) + 0.02 * lobe(n, v, KEY, 20.0);
    } else if (what == HAIR) {
        float a = strand(h);
        float r = length(h - CROWN);
        float fine = noise1(a * 150.0 + 3.0 * noise1(r * 3.0 + a * 9.0));
        float mid = noise1(a * 48.0 + 11.0);
        vec3 root = vec3(0.040, 0.0125, 0.0085), tip = vec3(0.190, 0.052, 0.021);
        vec3 base = mix(root, tip, smoothstep(0.2, 2.3, r) * 0.75 + 0.25 * mid);
        base *= 0.72 + 0.56 * fine;
        vec3 along = uHeadTurn * (h - CROWN);
        vec3 T = normalize(along - n * dot(along, n));
        vec3 T1 = normalize(T + n * (0.10 + 0.30 * (fine - 0.5) + 0.18 * (mid - 0.5)));
        vec3 T2 = normalize(T + n * (-0.12 + 0.34 * (mid - 0.5)));
        vec3 H = normalize(KEY + v), HF = normalize(FILL + v);
        float s1 = pow(sqrt(max(1.0 - pow(dot(T1, H), 2.0), 0.0)), 120.0);
        float s2 = pow(sqrt(max(1.0 - pow(dot(T2, H), 2.0), 0.0)), 28.0);
        float sf = pow(sqrt(max(1.0 - pow(dot(T2, HF), 2.0), 0.0)), 30.0);
        float lit = shade * smoothstep(-0.25, 0.6, nk);
        float wrap = 0.12 + 0.70 * clamp(nk * 0.75 + 0.25, 0.0, 1.0);
        col = base * (KEY_COLOUR * wrap * mix(0.25, 1.0, shade)
                      + FILL_COLOUR * clamp(dot(n, FILL) * 0.6 + 0.4, 0.0, 1.0) * ao
                      + ambient * ao * 1.3);
        col += KEY_COLOUR * lit * (s1 * vec3(0.18, 0.12, 0.08) + s2 * vec3(0.21, 0.0756, 0.0294));
        col += FILL_COLOUR * sf * vec3(0.30, 0.18, 0.16) * ao * 0.7;
        col += rim * mix(vec3(0.55, 0.30, 0.20), vec3(0.8), 0.25) * (0.85 + 0.3 * fine) * 0.80;
        col *= mix(0.35, 1.0, ao);
    } else if (what == CLOTH || what == COLLAR) {
        vec3 q = p - uTorsoShift;
        vec3 a = vec3(0.018, 0.105, 0.120);
        float weave = 0.5;
        if (what == CLOTH) {
            // Stocking stitch: columns of small Vs.
            float column = fract(q.x * 11.0 + 0.5) - 0.5;
            float row = fract(q.y * 13.0 - 1.1 * abs(column) + 0.25 * q.z) - 0.5;
            float stitch = (1.0 - 3.4 * column * column) * (1.0 - 3.0 * row * row);
            weave = mix(0.5, stitch, 0.75 * smoothstep(0.15, 0.6, nv));
            a *= 0.60 + 0.55 * weave + 0.18 * (noise3(q * 9.0) - 0.5);
        } else {
            a *= 1.06;
        }
        float wrapK = clamp((nk + 0.30) / 1.30, 0.0, 1.0);
        col = a * (KEY_COLOUR * wrapK * mix(0.10, 1.0, shade)
                   + FILL_COLOUR * clamp((dot(n, FILL) + 0.4) / 1.4, 0.0, 1.0) * ao
                   + ambient * 1.2 * ao);
        // Fuzz catches the light at grazing angles.
        float fuzz = pow(1.0 - nv, 3.0);
        col += a * KEY_COLOUR * fuzz * 0.9 * mix(0.3, 1.0, shade) * ao * (0.6 + 0.8 * weave);
        col += rim * vec3(0.32, 0.42, 0.44) * (0.5 + weave) * 0.75;
        col *= mix(0.45, 1.0, ao);
    } else if (what == TEETH) {
        float deep = smoothstep(0.0, 0.07, lips(h.x).x - h.y);
        vec3 a = vec3(1.00, 0.95, 0.90) * (1.0 - 0.18 * pow(abs(sin(h.x * 22.0)), 12.0));
        col = a * KEY_COLOUR * (0.42 + 0.25 * nk) * mix(0.80, 1.0, shade) * mix(0.55, 1.0, deep)
              * mix(0.25, 1.0, smoothstep(0.34, 0.12, abs(h.x)));
        col += vec3(0.25) * lobe(n, v, KEY, 60.0) * 0.3 * shade;
    } else {
        vec3 a = vec3(0.55, 0.17, 0.15);
        col = a * (KEY_COLOUR * clamp(nk * 0.6 + 0.4, 0.0, 1.0) * mix(0.5, 1.0, shade) * 0.6
                   + ambient);
    }
    key = float(what);
    // The bottom of the picture sinks a little.
    col *= mix(0.62, 1.0, smoothstep(-1.15, -0.35, uv.y));
    return col;
}

// Filmic curve, then display gamma.
vec3 develop(vec3 c) {
    c *= 0.92;
    c = max(mix(vec3(dot(c, vec3(0.2126, 0.7152, 0.0722))), c, 1.12), 0.0);
    c = (c * (2.51 * c + 0.03)) / (c * (2.43 * c + 0.59) + 0.14);
    return pow(clamp(c, 0.0, 1.0), vec3(1.0 / 2.2));
}

out vec4 colour;
void main() {
    vec3 sum = vec3(0.0);
    float key = 0.0;
    for (int i = 0; i < uTaps; i++) {
        // Four-rook pattern around the pixel's middle; a single tap sits on it.
        vec2 o = vec2(float(i & 1) - 0.5, float(i >> 1) - 0.5);
        o = uTaps == 1 ? vec2(0.0) : mat2(0.8944, 0.4472, -0.4472, 0.8944) * o * 0.56;
        sum += develop(render(gl_FragCoord.xy + o, key));
    }
    colour = vec4(sum / float(uTaps), key / 16.0);
}
